"""The server as a process: start, page and API on one port, signals, the end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.folders import checkpoint_files, write_checkpoint
from tests.serving import write_tokenizer

ROOT = Path(__file__).parent.parent
SLACK = 5  # promised times are for a machine with nothing else to do
LAUNCH = (sys.executable, "-m", "tests.launch_server")


class Process:
    """A running server."""

    def __init__(self, data: Path, folder: Path, *values: str) -> None:
        self.data = data
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.started = time.monotonic()
        self._output = (data.parent / f"output-{self.port}").open("wb+")
        command = [*LAUNCH, str(self.port), str(data)]
        self.popen = subprocess.Popen(
            [*command, str(folder), *values],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"},
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=10)

    def wait_for(self, path: str, seconds: float = 60) -> float:
        """Seconds after the start until `path` answers 200."""
        while time.monotonic() - self.started < seconds:
            with contextlib.suppress(httpx.TransportError):
                if self.get(path).status_code == 200:
                    return time.monotonic() - self.started
            assert self.popen.poll() is None, self.output()
            time.sleep(0.05)
        raise AssertionError(f"{path} did not answer\n{self.output()}")

    def terminate(self) -> float:
        """SIGTERM; the moment it was sent."""
        self.popen.send_signal(signal.SIGTERM)
        return time.monotonic()

    def ended(self, since: float, seconds: float) -> int:
        """The exit code; fails when that takes longer than `seconds` from `since`."""
        code = self.popen.wait(60)
        assert time.monotonic() - since < seconds, self.output()
        return code

    def children(self) -> list[psutil.Process]:
        """The processes it has started, once there is one."""
        end = time.monotonic() + 20
        while not (found := psutil.Process(self.popen.pid).children(recursive=True)):
            assert time.monotonic() < end, self.output()
            time.sleep(0.05)
        return found

    def output(self) -> str:
        self._output.seek(0)
        return self._output.read().decode()

    def close(self) -> None:
        self.popen.kill()
        self.popen.wait()
        self._output.close()


class Streaming(threading.Thread):
    """A client that streams an answer and keeps every line as soon as it is there."""

    def __init__(self, process: Process, max_new_tokens: int = 1900) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.body = {"prompt": "Hi", "stream": True, "max_new_tokens": max_new_tokens}
        self.lines: list[str] = []
        self.start()
        while not self.lines:
            assert self.is_alive(), "no answer began"
            time.sleep(0.01)

    def run(self) -> None:
        url = self.process.url + "/api/generate"
        with httpx.stream("POST", url, json=self.body, timeout=60) as response:
            for line in response.iter_lines():
                if line:
                    self.lines.append(line)

    def last(self) -> dict[str, Any]:
        """The last event."""
        self.join(60)
        value = json.loads(self.lines[-1].removeprefix("data: "))
        assert isinstance(value, dict)
        return value


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that looks whole; only the scripted engine can load it."""
    path = write_checkpoint(tmp_path_factory.mktemp("models") / "tiny", checkpoint_files())
    return write_tokenizer(path)


@pytest.fixture(scope="module")
def shared(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server for tests that leave it as it was."""
    process = Process(tmp_path_factory.mktemp("shared") / "data", folder)
    process.wait_for("/readyz")
    yield process
    process.close()


@contextlib.contextmanager
def launched(tmp_path: Path, folder: Path, *values: str) -> Iterator[Process]:
    process = Process(tmp_path / "data", folder, *values)
    try:
        yield process
    finally:
        process.close()


def test_the_page_is_up_soon(tmp_path: Path, folder: Path) -> None:
    with launched(tmp_path, folder) as process:
        assert process.wait_for("/") < 4 * SLACK
        assert process.wait_for("/readyz") < 15 * SLACK


def test_page_and_api_share_the_port(shared: Process) -> None:
    page = shared.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    assert shared.get("/config").status_code == 200
    assert shared.get("/api/nothing").json()["error"]["code"] == "not_found"
    body = {"prompt": "Hi"}
    answer = httpx.post(shared.url + "/api/generate", json=body, timeout=10).json()
    assert answer["text"] == "w0 w1 w2 w3 w4"


def test_the_process_that_checks_schemas_runs_before_anybody_asks(shared: Process) -> None:
    (checker,) = shared.children()
    assert "qwen_webui.structured.checker" in checker.cmdline()


def test_the_page_gives_an_owner_once(shared: Process) -> None:
    first = shared.get("/")
    cookie = first.headers["set-cookie"]
    assert re.match(r"qw_owner=[0-9a-f]{32}; Path=/; .*HttpOnly; SameSite=Lax$", cookie)
    owner = cookie.split(";")[0]
    again = httpx.get(shared.url + "/", headers={"cookie": owner})
    assert "set-cookie" not in again.headers
    forged = httpx.get(shared.url + "/", headers={"cookie": "qw_owner=1"})
    assert forged.headers["set-cookie"].split(";")[0] not in (owner, "qw_owner=1")
    assert "set-cookie" not in shared.get("/healthz").headers


def test_hashed_files_of_the_page_are_kept_by_browsers(shared: Process) -> None:
    found = re.search(r"\./(assets/[^\"']+\.js)", shared.get("/").text)
    assert found, "the page names its script"
    response = shared.get("/" + found[1])
    assert response.status_code == 200 and "immutable" in response.headers["cache-control"]


def test_a_large_body_to_the_page(shared: Process) -> None:
    """reliability line 36"""
    url = shared.url + "/gradio_api/queue/join"
    headers = {"content-type": "application/json"}
    large = b'{"data": ["' + b"x" * (5 << 20) + b'"]}'
    by_length = httpx.post(url, content=large, headers=headers)
    chunks = (large[n : n + 65536] for n in range(0, len(large), 65536))
    in_chunks = httpx.post(url, content=chunks, headers=headers)
    assert (by_length.status_code, in_chunks.status_code) == (413, 413)
    assert in_chunks.json()["error"]["code"] == "payload_too_large"
    assert shared.get("/").status_code == 200


def test_no_foreign_page_may_read(shared: Process) -> None:
    """reliability line 54"""
    headers = {"origin": "http://evil.example"}
    for path in ("/", "/config", "/gradio_api/info"):
        response = httpx.get(shared.url + path, headers=headers)
        assert "access-control-allow-origin" not in response.headers


def test_files_of_the_machine_are_out_of_reach(shared: Process) -> None:
    for path in ("file=/etc/passwd", "file=/proc/self/environ", "file=../../pyproject.toml"):
        response = shared.get(f"/gradio_api/{path}")
        assert response.status_code in (400, 403, 404) and "root:" not in response.text


def test_the_log_has_a_line_a_request(shared: Process) -> None:
    name = shared.get("/healthz").headers["x-request-id"]
    pattern = rf"INFO qwen_webui\.api\.access: {name} GET /healthz 200 \d+ ms\n"
    assert re.search(pattern, shared.output())


def test_a_port_in_use(tmp_path: Path, folder: Path) -> None:
    """reliability line 33"""
    with launched(tmp_path, folder) as process:
        process.wait_for("/healthz")
        second = subprocess.run(
            [*LAUNCH, str(process.port), str(tmp_path / "b"), str(folder)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=10 * SLACK,
        )
        assert second.returncode != 0
        assert f"Port {process.port}" in second.stderr and "--port" in second.stderr
        assert "Traceback" not in second.stderr


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    """reliability line 33: the page is up, and says why nothing is ready."""
    with launched(tmp_path, tmp_path / "nothing") as process:
        process.wait_for("/healthz")
        ready = process.get("/readyz")
        assert ready.status_code == 503 and "nothing" in ready.json()["error"]["message"]
        assert process.get("/").status_code == 200


@contextlib.contextmanager
def open_tab(process: Process) -> Iterator[None]:
    """What a page that nobody uses keeps open."""
    url = f"{process.url}/gradio_api/heartbeat/abc123"
    with httpx.stream("GET", url, timeout=60) as response:
        assert next(response.iter_lines()) == "data: ALIVE"
        yield


@pytest.mark.slow
def test_sigterm_with_an_idle_tab(tmp_path: Path, folder: Path) -> None:
    """reliability line 20"""
    with launched(tmp_path, folder) as process:
        process.wait_for("/readyz")
        with open_tab(process):
            assert process.ended(process.terminate(), 2 * SLACK) == 0
        assert "Traceback" not in process.output()


@pytest.mark.slow
def test_sigterm_in_an_answer(tmp_path: Path, folder: Path) -> None:
    """reliability line 21"""
    with launched(tmp_path, folder, "count=100", "delay=0.01") as process:
        process.wait_for("/readyz")
        with open_tab(process):
            asking = Streaming(process)
            since = process.terminate()
            while process.get("/readyz").status_code == 200:
                assert time.monotonic() - since < SLACK
            assert process.get("/readyz").json()["error"]["code"] == "shutting_down"
            assert process.get("/healthz").status_code == 200
            refused = httpx.post(process.url + "/api/generate", json={"prompt": "late"})
            assert refused.status_code == 503 and "retry-after" in refused.headers
            assert asking.is_alive(), "the answer was still running"
            assert asking.last()["finish_reason"] == "stop"
            assert process.ended(since, 30) == 0
    text = "".join(json.loads(li[6:])["text"] for li in asking.lines[:-1])
    assert text.split()[-1] == "w99"


@pytest.mark.slow
def test_sigterm_in_an_answer_that_is_too_long(tmp_path: Path, folder: Path) -> None:
    """reliability line 22"""
    with launched(tmp_path, folder, "count=2000", "delay=0.05", "drain_seconds=1") as process:
        process.wait_for("/readyz")
        asking = Streaming(process)
        since = process.terminate()
        assert asking.last()["error"]["code"] == "shutting_down"
        assert asking.lines[-2] == "event: error"
        assert process.ended(since, 1 + 5 * SLACK) == 0


@pytest.mark.slow
def test_a_second_sigterm(tmp_path: Path, folder: Path) -> None:
    """reliability line 23, with the engine's own process, which must not outlive ours."""
    with launched(tmp_path, folder, "real=1") as process:
        process.wait_for("/healthz")
        children = process.children()
        process.terminate()
        process.popen.send_signal(signal.SIGTERM)
        process.popen.wait(2 * SLACK)
        _, alive = psutil.wait_procs(children, timeout=3 * SLACK)
        assert alive == []


@pytest.mark.slow
def test_the_engines_process_ends_with_ours(tmp_path: Path, folder: Path) -> None:
    with launched(tmp_path, folder, "real=1") as process:
        process.wait_for("/healthz")
        children = process.children()
        process.popen.kill()
        _, alive = psutil.wait_procs(children, timeout=3 * SLACK)
        assert alive == []
