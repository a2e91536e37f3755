"""The server with the engine's own process and a tiny checkpoint: deaths, cancels, swaps."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from tests.engines.checkpoints import random_weights, write_checkpoint
from tests.test_server import SLACK, Process, Streaming

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server that answers at length; every test leaves it ready."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_checkpoint(folder, random_weights())
    values = ("real=1", "max_context=16384", "log_level=debug")
    process = Process(tmp_path_factory.mktemp("real") / "data", folder, *values)
    process.wait_for("/readyz", 120)
    yield process
    process.close()


def ask(process: Process, **fields: Any) -> httpx.Response:
    body = {"prompt": "Tell me a story", "max_new_tokens": 5, "temperature": 0} | fields
    return httpx.post(process.url + "/api/generate", json=body, timeout=120)


def worker(process: Process) -> psutil.Process:
    (child,) = [p for p in process.children() if "checker" not in " ".join(p.cmdline())]
    return child


def wait_until_ready(process: Process) -> None:
    end = time.monotonic() + 60
    while process.get("/readyz").status_code != 200:
        assert time.monotonic() < end, process.output()
        time.sleep(0.05)


def test_an_answer(real: Process) -> None:
    body = ask(real).json()
    assert (body["finish_reason"], body["usage"]["completion_tokens"]) == ("length", 5)
    assert body["text"] == ask(real).json()["text"], "greedy answers repeat"
    loaded = real.get("/api/models").json()
    assert loaded["info"]["max_context"] == 16384 and loaded["memory"]["used_by_engine"] > 0


def test_killed_in_an_answer(real: Process) -> None:
    """reliability line 24"""
    asking = Streaming(real, max_new_tokens=8000)
    died = worker(real)
    died.send_signal(signal.SIGKILL)
    since = time.monotonic()
    assert asking.last()["error"]["code"] == "engine_crashed"
    assert time.monotonic() - since < 2 * SLACK
    assert real.get("/readyz").status_code == 503
    response = ask(real)
    assert response.status_code == 200, response.text
    assert real.get("/readyz").status_code == 200
    assert worker(real).pid != died.pid and not died.is_running(), "no zombie"


def test_killed_between_answers(real: Process) -> None:
    worker(real).send_signal(signal.SIGKILL)
    end = time.monotonic() + SLACK
    while real.get("/readyz").status_code == 200:
        assert time.monotonic() < end, real.output()
    assert ask(real).status_code == 200


def test_a_client_that_goes_away(real: Process) -> None:
    """reliability lines 14, 15"""
    body = {"prompt": "Hi", "max_new_tokens": 8000}
    url = real.url + "/api/generate"
    with httpx.stream("POST", url, json=body | {"stream": True}, timeout=60) as response:
        assert next(response.iter_lines()).startswith("data: ")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url, json=body, timeout=httpx.Timeout(30, read=0.5))
    end = time.monotonic() + SLACK
    while real.get("/api/models").json()["running"]:
        assert time.monotonic() < end
    before = worker(real).cpu_times().user
    time.sleep(1)
    assert worker(real).cpu_times().user - before < 0.5, "the engine computes for nobody"


def test_unload_and_load(real: Process) -> None:
    name = real.get("/api/models").json()["name"]
    pid = worker(real).pid
    assert httpx.post(real.url + "/api/models/unload", timeout=60).json()["state"] == "empty"
    body = {"name": name, "wait": True}
    report = httpx.post(real.url + "/api/models/load", json=body, timeout=60).json()
    assert (report["name"], report["previous"]) == (name, None)
    assert worker(real).pid == pid and ask(real).status_code == 200


def test_sigterm_ends_the_worker_too(real: Process) -> None:
    """Last: it ends the server."""
    wait_until_ready(real)
    child = worker(real)
    assert real.ended(real.terminate(), 2 * SLACK) == 0
    assert not child.is_running()
    assert "Task exception" not in real.output() and "Traceback" not in real.output()
