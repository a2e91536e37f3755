"""The server with a network that fails and writes down who asked for it: nothing may.

Once with the scripted engine and every field full of addresses, once with the real engine and all
that a day's work needs. Downloads are the one thing that goes out, and show that the record works.
"""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests import test_server
from tests.engines.checkpoints import random_weights
from tests.engines.checkpoints import write_checkpoint as write_weights
from tests.folders import checkpoint_files, write_checkpoint
from tests.serving import write_tokenizer
from tests.test_server import Process
from tests.ui import events

pytestmark = pytest.mark.slow

NETLESS = Path(__file__).parent / "netless"
ROOT = NETLESS.parent.parent
# Starts the server with the failing network, which its own processes then have too.
LAUNCH = (
    "import os, sys; os.environ['PYTHONPATH'] = os.environ['NETLESS_PATH'];"
    "os.execv(sys.executable, [sys.executable, '-m', 'tests.launch_server', *sys.argv[1:]])"
)


class Record:
    """What was tried, a line each."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lines(self) -> list[str]:
        return self._path.read_text().splitlines() if self._path.exists() else []


@contextmanager
def netless(root: Path, folder: Path, *values: str) -> Iterator[tuple[Process, Record]]:
    record = root / "record.txt"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETLESS_RECORD", str(record))
        patch.setenv("NETLESS_PATH", os.pathsep.join((str(NETLESS), str(ROOT))))
        patch.setattr(test_server, "LAUNCH", (sys.executable, "-c", LAUNCH))
        process = Process(root / "data", folder, *values)
    try:
        process.wait_for("/readyz", 120)
        yield process, Record(record)
    finally:
        process.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Record]]:
    """Downloads are allowed here, so only what is asked for decides."""
    root = tmp_path_factory.mktemp("netless")
    folder = write_tokenizer(write_checkpoint(root / "tiny", checkpoint_files()))
    with netless(root, folder, "offline=false", "allow_swap=true") as both:
        yield both


@contextmanager
def visitor(process: Process) -> Iterator[httpx.Client]:
    """A browser's client, with the owner's cookie of its first look at the page."""
    with httpx.Client(base_url=process.url, timeout=60) as client:
        assert client.get("/").status_code == 200
        assert isinstance(client.cookies.jar, http.cookiejar.CookieJar) and client.cookies
        yield client


def addresses(inside: str) -> tuple[str, ...]:
    """Of hosts that there are, that there are not, and of this computer at `inside`."""
    return (
        "http://169.254.169.254/latest/meta-data/",
        f"http://{inside}/x",
        f"http://localhost:{inside.rpartition(':')[2]}/x",
        "http://rebind.example/",
        "https://example.org/schema.json",
        "file:///etc/passwd",
        "ftp://example.org/x",
        "//example.org/x",
        "hf://example/model",
    )


def bodies(url: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Requests with the address in every field that somebody might follow."""
    text = {"role": "user", "content": "x"}
    chat = "/v1/chat/completions"
    image = [{"type": "image_url", "image_url": {"url": url}}]
    video = [{"type": "video_url", "video_url": {"url": url}}]
    audio = [{"type": "input_audio", "input_audio": {"data": url, "format": "wav"}}]
    file = [{"type": "file", "file": {"file_data": url, "file_id": url}}]
    for content in (url, image, video, audio, file, [{"type": "text", "text": url}]):
        yield chat, {"messages": [{"role": "user", "content": content}]}
    for schema in (
        {"$ref": url},
        {"$schema": url},
        {"$id": url, "$ref": "other.json"},
        {"$defs": {"a": {"$ref": f"{url}#/a"}}, "$ref": "#/$defs/a"},
        {"type": "string", "format": "uri", "const": url},
        {"type": "object", "properties": {"a": {"$dynamicRef": url}}},
    ):
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        yield chat, {"messages": [text], "response_format": form}
        yield "/api/generate", {"prompt": "x", "schema": schema}
        yield "/api/structured/check", {"schema": schema}
        run = {"prompt": "x", "schema": json.dumps(schema), "max_new_tokens": 64}
        yield "/ui/json/run", run | {"ticket": "c" * 32}
        yield "/ui/json/check", {"schema": json.dumps(schema)}
        tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
        yield chat, {"messages": [text], "tools": [tool]}
    yield chat, {"messages": [text], "response_format": {"type": url}}
    yield chat, {"messages": [text], "model": url}
    yield chat, {"messages": [text], "web_search_options": {"url": url}}
    yield "/v1/completions", {"prompt": url, "model": url}
    yield "/v1/completions", {"prompt": url}
    yield "/api/models/load", {"name": url, "wait": True}
    yield "/api/generate", {"prompt": url, "system": url}
    yield "/api/generate", {"prompt": "x", "persona": url}
    yield "/api/structured/infer", {"example": {"$ref": url, "a": url}}
    code = {"prompt": url, "schema": "{}", "max_new_tokens": 64, "ticket": "c" * 32}
    yield "/ui/json/code", code | {"at": url}


def test_no_address_in_any_field_is_ever_followed(running: tuple[Process, Record]) -> None:
    """reliability line 57"""
    process, record = running
    with socket.create_server(("127.0.0.1", 0)) as listener, visitor(process) as client:
        listener.settimeout(0.2)
        inside = f"127.0.0.1:{listener.getsockname()[1]}"
        for url in addresses(inside):
            for path, body in bodies(url):
                answer = client.post(path, json=body)
                # The words that this engine always says are no JSON.
                known = (200, 400, 404, 422) if "invalid_output" not in answer.text else (500,)
                assert answer.status_code in known, (path, body, answer.text)
                assert "root:" not in answer.text
            for header in ("referer", "origin", "x-forwarded-host", "forwarded", "host"):
                answer = client.get("/api/models", headers={header: url})
                assert answer.status_code in (200, 400, 403), (header, url)
            for route in ("gradio_api/file=", "gradio_api/file/", "gradio_api/proxy=", "proxy="):
                assert client.get(f"/{route}{url}").status_code in (400, 403, 404), (route, url)
            assert client.get("/ui/about", params={"at": url}).status_code == 200
            assert client.get("/login", params={"next": url}).status_code in (200, 303)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert record.lines() == []


def test_no_address_in_any_event_of_the_page_is_ever_followed(
    running: tuple[Process, Record],
) -> None:
    """reliability lines 48 and 57: as text, as a file's path and as a file's address"""
    process, record = running
    with socket.create_server(("127.0.0.1", 0)) as listener, visitor(process) as client:
        listener.settimeout(0.2)
        inside = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        for number, inputs in events.handlers(client).items():
            for url in (inside, "https://example.org/x", "http://169.254.169.254/"):
                file = {"path": url, "url": url, "meta": {"_type": "gradio.FileData"}}
                for value in (url, file, [file], {"text": "x", "files": [file]}):
                    session = secrets.token_hex(8)
                    answer = events.join(client, number, [value] * inputs, session)
                    if answer.is_success:
                        assert list(events.told(client, session))
        with pytest.raises(TimeoutError):
            listener.accept()
    assert record.lines() == []


def test_a_thousand_schemas_leave_memory_as_it_was(running: tuple[Process, Record]) -> None:
    """reliability line 44: over HTTP, in the server and in the process that checks"""
    process, _ = running
    server = psutil.Process(process.popen.pid)

    def ask(client: httpx.Client, numbers: range) -> None:
        for number in numbers:
            name, pattern = f"field_{number}", f"^{number}[a-f]{{1,20}}$"
            fields = {name: {"type": "string", "pattern": pattern}, "all": {"enum": [number, "x"]}}
            schema = {"type": "object", "properties": fields, "required": [name]}
            answer = client.post("/api/structured/check", json={"schema": schema})
            assert answer.json() == {"valid": True, "problems": []}, answer.text

    def used() -> tuple[int, int]:
        (checker,) = [p for p in server.children() if "checker" in " ".join(p.cmdline())]
        return server.memory_info().rss, checker.memory_info().rss

    with httpx.Client(base_url=process.url, timeout=30) as client:
        ask(client, range(300))
        before, written = used(), size_of(process.data)
        ask(client, range(300, 1_300))
        after = used()
    assert after[0] - before[0] < 40 << 20 and after[1] - before[1] < 60 << 20
    # Nothing on the disk besides the lines of the log.
    assert size_of(process.data) - written < 1_300 * 300


def size_of(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


RECORDED = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+: ")


def test_nobody_forges_a_line_of_the_log_or_finds_a_prompt_in_it(
    running: tuple[Process, Record],
) -> None:
    """reliability line 60: line ends in paths, headers and fields; sent over a bare socket too"""
    process, _ = running
    forged = "\r\n2026-01-01 00:00:00,000 INFO qwen_webui.forged: it is so\u2028\x85\x1b[31m"
    with visitor(process) as client:
        for path, body in (
            ("/api/generate", {"prompt": f"a private question{forged}", "system": forged}),
            ("/api/generate", {"prompt": "x", forged: 1}),
            ("/api/generate", {"prompt": "x", "persona": forged}),
            ("/v1/chat/completions", {"messages": [], "user": forged}),
            ("/v1/completions", {"prompt": "a private question", "user": f"me{forged}"}),
            ("/v1/completions", {"prompt": "x", "model": forged}),
            ("/api/models/load", {"name": forged}),
            ("/api/structured/check", {"schema": {"$ref": forged, forged: 1}}),
            ("/ui/json/stop", {"ticket": forged}),
        ):
            content = json.dumps(body).encode()
            answer = client.post(path, content=content, headers=events.JSON)
            assert answer.status_code in (200, 400, 404, 422), answer.text
            assert "a private question" not in answer.text or answer.status_code == 200
        encoded = "%0d%0a2026-01-01%2000:00:00,000%20INFO%20qwen_webui.forged:%20x%e2%80%a8%1b"
        for path in (f"/api/{encoded}", f"/ui/assets/{encoded}", f"/{encoded}", f"/v1/{encoded}"):
            assert client.get(path).status_code == 404
        for number, inputs in events.handlers(client).items():
            for data in ([forged], [forged] * inputs, [{"path": forged}] * inputs, [9e99] * inputs):
                session = secrets.token_hex(8)
                if events.join(client, number, data, session).is_success:
                    assert list(events.told(client, session))
                events.join(client, number, data, forged[:100])
    head = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    for line in (
        f"X-Request-ID: a{forged}",
        "X-Request-ID: a\nINFO qwen_webui.forged: x",
        "X: \x00",
    ):
        with socket.create_connection(("127.0.0.1", process.port), 10) as link:
            link.sendall(f"{head}{line}\r\nConnection: close\r\n\r\n".encode())
            assert link.recv(20).startswith(b"HTTP/1.1 ")
    said = process.output()
    log = (process.data / "logs" / "qwen-webui.log").read_text()
    assert len(log.splitlines()) > 10
    for line in log.split("\n")[:-1]:
        assert RECORDED.match(line) or line.startswith("    | "), line
        assert not re.match(r"\S+ \S+ [A-Z]+ qwen_webui\.forged:", line), line
    assert len(log.splitlines()) == log.count("\n"), "no other kind of line end is in it"
    assert "a private question" not in log and "a private question" not in said
    assert "Traceback" not in said and "Traceback" not in log
    assert not re.search(r"^2026-01-01", said, re.MULTILINE)


def test_a_download_is_what_goes_out_and_the_record_tells(running: tuple[Process, Record]) -> None:
    """Last, for it shows that the tests above could fail."""
    process, record = running
    body = {"name": "qwen2.5-0.5b-instruct", "wait": True}
    answer = httpx.post(process.url + "/api/models/load", json=body, timeout=120)
    assert answer.status_code in (502, 507) or answer.json()["error"], answer.text
    assert any("getaddrinfo" in line for line in record.lines()), record.lines()


def test_a_day_without_a_network(tmp_path: Path) -> None:
    """reliability line 63: start, load, chat, JSON, export and documentation, with the engine's
    own process, and not one name looked up by any of the processes"""
    write_weights(tmp_path / "tiny", random_weights())
    with netless(tmp_path, tmp_path / "tiny", "real=1", "offline=false") as (process, record):
        with visitor(process) as client:
            generated = client.post("/api/generate", json={"prompt": "Hi", "max_new_tokens": 4})
            assert generated.json()["usage"]["completion_tokens"] >= 1
            send = events.handler(client, "qw-text", "submit")
            form = ["", "general", "", None, 0.7, 0.8, 20, 1.05, 8, "", ""]
            ended = events.run(client, send, ["Which sea?", "", *form])
            assert ended["success"] is True
            found = re.search(r"\b[0-9a-f]{32}\b", json.dumps(ended["output"]))
            assert found, "the page is told of the conversation"
            exported = client.get(f"/ui/export/{found[0]}.md")
            assert exported.status_code == 200 and "Which sea?" in exported.text
            order = {"prompt": "x", "schema": '{"type": "boolean"}', "max_new_tokens": 16}
            lines = client.post("/ui/json/run", json=order | {"ticket": "c" * 32}).text.splitlines()
            end = json.loads(lines[-1])["end"]
            assert end["state"] == "valid", end
            assert client.get(f"/ui/json/runs/{end['id']}/answer.json").status_code == 200
            file = {"file": ("ship.txt", b"The captain of the Lorna is Pella Grint.")}
            document = client.post("/api/documents", files=file).json()["id"]
            asked = {"question": "Who?", "max_new_tokens": 4}
            answer = client.post(f"/api/documents/{document}/ask", json=asked)
            assert answer.status_code == 200, answer.text
            for path in ("/docs", "/openapi.json", "/config", "/theme.css", "/ui/models"):
                assert client.get(path).status_code == 200, path
            name = client.get("/api/models").json()["name"]
            assert client.post("/api/models/unload").status_code == 200
            load = {"name": name, "wait": True}
            assert client.post("/api/models/load", json=load).status_code == 200
        assert record.lines() == []
