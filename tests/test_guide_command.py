"""The guide's own start command, as a person types it, against a hub on loopback.

`app.py` as a process of its own, the real client library, the engine's own process: nothing here
is a stand-in but the hub, which has tiny files under the official repository's name.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from qwen_webui.checkpoints import choose
from qwen_webui.checkpoints.catalogue import catalogue
from qwen_webui.errors import DeviceUnusable
from qwen_webui.memory import machine_memory, usual_forecast
from tests.engines.checkpoints import random_weights, write_gptq
from tests.hub import Hub, running_hub
from tests.test_server import ROOT, SLACK, free_port

pytestmark = pytest.mark.slow

GUIDE = ("--model_name_or_path", "Qwen/Qwen2.5-7B", "--quantize", "gptq-int4")
REPOSITORY = "Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4"
NAME = "qwen2.5-7b-instruct-gptq-int4"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub") / "tiny"
    write_gptq(folder, random_weights(), 4)
    with running_hub() as hub:
        hub.repositories[REPOSITORY] = {f.name: f.read_bytes() for f in folder.iterdir()}
        yield hub


@contextlib.contextmanager
def started(tmp_path: Path, hub: Hub, *words: str) -> Iterator[httpx.Client]:
    """`python app.py` with the guide's flags; only the port, the hub and the folders are ours."""
    foreign = ("QWEN_WEBUI_", "HF_", "MODELSCOPE_")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    ours = {"QWEN_WEBUI_HUB_ENDPOINT": hub.url, "QWEN_WEBUI_DATA_DIR": str(tmp_path / "data")}
    port = str(free_port())
    command = [sys.executable, "app.py", *GUIDE, *words, "--port", port, "--trust_remote_code"]
    with (
        (tmp_path / "output").open("wb") as output,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=clean | ours | {"HOME": str(tmp_path), "NO_PROXY": "*"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(client, process, "/healthz", lambda answer: answer.status_code == 200)
            yield client
            process.terminate()
            assert process.wait(10 * SLACK) == 0
        finally:
            process.kill()
            process.wait()
    assert "Traceback" not in (tmp_path / "output").read_text()


def wait_for(client: httpx.Client, process: Any, path: str, meets: Any) -> httpx.Response:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            answer = client.get(path)
            if meets(answer):
                return answer
        assert process is None or process.poll() is None, "the program ended"
        time.sleep(0.1)
    raise AssertionError(f"{path} never was as it should be")


def settled(answer: httpx.Response) -> bool:
    body = answer.json()
    return answer.status_code == 200 or body["error"]["code"] != "model_not_ready"


def test_without_a_card_it_says_so_and_never_takes_the_cpu(tmp_path: Path, hub: Hub) -> None:
    """reliability line 33: `--device cuda` exactly as in the guide."""
    with contextlib.suppress(DeviceUnusable):
        pytest.skip(f"this machine has {machine_memory('cuda').device_name}")
    before = len(hub.requests)
    with started(tmp_path, hub, "--device", "cuda") as client:
        ready = wait_for(client, None, "/readyz", settled)
        error = ready.json()["error"]
        assert (ready.status_code, error["code"]) == (503, "device_unusable")
        assert "--device cuda" in error["message"] and "--device cpu" in error["message"]
        assert client.get("/").status_code == 200
        asked = client.post("/api/generate", json={"prompt": "Hello"})
        assert asked.status_code == 503 and "--device cuda" in asked.json()["error"]["message"]
        again = client.post("/api/models/load", json={"name": NAME, "wait": True})
        assert again.json()["error"]["code"] == "device_unusable"
    assert len(hub.requests) == before, "nothing is downloaded for a device that is not there"


def test_on_the_cpu_it_fetches_the_official_repository_and_serves_it(
    tmp_path: Path, hub: Hub
) -> None:
    room = machine_memory("cpu")
    spec = choose(None, "gptq-int4", known=catalogue()).spec
    need = usual_forecast(spec, room, None)
    if not need.fits:
        pytest.skip(f"the forecast for the real files is {need.needed} of {need.free} bytes")
    with started(tmp_path, hub, "--device", "cpu") as client:
        ready = wait_for(client, None, "/readyz", settled)
        assert ready.json() == {"status": "ready", "model": NAME}, ready.text
        body = {"prompt": "Hello", "max_new_tokens": 5, "temperature": 0}
        answer = client.post("/api/generate", json=body, timeout=60).json()
        assert (answer["model"], answer["usage"]["completion_tokens"]) == (NAME, 5)
        status = client.get("/api/models").json()
        row = next(row for row in status["checkpoints"] if row["name"] == NAME)
        assert (status["info"]["device"], row["precision"], row["on_disk"]) == (
            "cpu",
            "gptq-int4",
            True,
        )
        notes = " ".join(status["notes"])
        assert f"Qwen/Qwen2.5-7B has no quantised files; using {REPOSITORY}." in notes
        assert "--trust_remote_code was accepted and has no effect" in notes
        # Its forecast is of the files that came, not of those the catalogue expects.
        assert status["last_swap"]["forecast"]["weights"] < need.weights
    paths = [request.path for request in hub.requests]
    assert paths and all(REPOSITORY in p or p.startswith("/store/") for p in paths)
