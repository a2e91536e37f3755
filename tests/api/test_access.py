"""The layer around everything: names, limits, headers, hosts, the log; over real connections."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qwen_webui.api import connection, visit
from qwen_webui.api.access import AccessLayer
from qwen_webui.engines.scripted import Script
from tests.api.conftest import Served, serving
from tests.api.test_generate import told

JSON = {"content-type": "application/json"}


async def raw(served: Served, *parts: bytes) -> bytes:
    """What the server answers before it closes, which it must within 5 s. Each of the parts but
    the last is sent when the one before has been answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    got = b""
    try:
        for part in parts:
            writer.write(part)
            if part is not parts[-1]:
                got += await reader.readuntil(b"}")
        return got + await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        return got
    finally:
        writer.transport.abort()


async def test_every_response_has_a_name_and_the_headers(served: Served) -> None:
    for path in ("/healthz", "/api/models", "/api/nothing"):
        response = await served.client.get(path)
        assert re.fullmatch(r"[0-9a-f]{16}", response.headers["x-request-id"])
        policy = response.headers["content-security-policy"]
        assert "default-src 'self'" in policy and "http" not in policy
        assert "unsafe-eval" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"


async def test_a_name_of_the_clients_is_kept_if_it_is_sane(served: Served) -> None:
    for given, kept in (("job-7.a_B", True), ("x" * 65, False), ("a b", False), ("a/b", False)):
        response = await served.client.get("/healthz", headers={"x-request-id": given})
        assert (response.headers["x-request-id"] == given) is kept


async def test_the_name_reaches_the_engine(served: Served) -> None:
    await served.client.post(
        "/api/generate", json={"prompt": "Hi"}, headers={"x-request-id": "mine"}
    )
    assert served.loader.requests[-1].id.startswith("mine.")


async def test_one_line_a_request(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "qwen_webui")
    response = await served.generate("A secret question")
    await served.client.get("/api/no%0d%0athing")
    lines = [r.getMessage() for r in caplog.records if r.name.endswith("access")]
    name = response.headers["x-request-id"]
    assert re.fullmatch(rf"{name} POST /api/generate 200 \d+ ms 4 tokens", lines[0])
    assert len(lines) == 2
    assert "secret" not in caplog.text


async def test_prompts_are_logged_only_when_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "qwen_webui")
    async with serving(tmp_path, settings={"log_prompts": True}) as served:
        await served.generate("A public\r\nquestion")
    assert 'prompt: "A public\\r\\nquestion"' in caplog.text
    assert 'answer: "Echo: A public' in caplog.text


async def test_a_large_body_by_its_length(served: Served) -> None:
    """reliability line 36"""
    response = await served.client.post("/api/generate", content=b"x" * (5 << 20), headers=JSON)
    assert (response.status_code, told(response)["code"]) == (413, "payload_too_large")
    assert "4 MiB" in told(response)["message"]


async def test_a_large_body_in_chunks(served: Served) -> None:
    """reliability line 36"""

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"prompt": "'
        for _ in range(80):
            yield b"x" * (1 << 16)
        yield b'"}'

    response = await served.client.post("/api/generate", content=chunks(), headers=JSON)
    assert (response.status_code, told(response)["code"]) == (413, "payload_too_large")
    assert (await served.client.get("/healthz")).status_code == 200


async def test_a_megabyte_of_headers_is_refused(served: Served) -> None:
    """reliability line 38"""
    answer = await raw(
        served, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (1 << 20)
    )
    assert not answer or answer.startswith(b"HTTP/1.1 4")


async def test_half_a_head_is_hung_up_on(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """reliability line 38"""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.2)
    assert connection.HEAD_SECONDS < 10
    whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert await raw(served, whole[:30]) == b""
    # The second request of a connection is held to the same.
    answered = await raw(served, whole, whole[:30])
    assert answered.startswith(b"HTTP/1.1 200") and answered.endswith(b'"ok"}')


async def test_a_long_answer_outlives_the_patience_for_heads(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.1)
    served.loader.script = Script(words=("a",) * 10, delay=0.05)
    assert (await served.generate()).status_code == 200


async def test_a_body_that_trickles_is_given_up(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """reliability line 38"""
    monkeypatch.setattr(visit, "BODY_PATIENCE", 0.2)
    head = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    answer = await raw(served, head + b"Content-Length: 100\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 408") and b"request_timeout" in answer


async def test_a_foreign_page_gets_no_leave_to_read(served: Served) -> None:
    """reliability line 54"""
    origin = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    for method in ("GET", "OPTIONS"):
        response = await served.client.request(method, "/api/models", headers=origin)
        assert not [name for name in response.headers if name.startswith("access-control")]


async def test_a_foreign_page_may_not_send(served: Served) -> None:
    response = await served.client.post(
        "/api/models/unload", headers={"sec-fetch-site": "cross-site"}
    )
    assert (response.status_code, told(response)["code"]) == (403, "forbidden")
    assert served.services.manager.status().state == "ready"


async def test_only_names_of_this_computer(served: Served) -> None:
    """reliability line 53: a page that resolves its own name to 127.0.0.1 gets nothing."""
    ours = ("localhost", "LOCALHOST:7860", "127.0.0.1:1", "[::1]:7860", "[::1]")
    evil = ("evil.example", "evil.example:7860", "localhost.evil.example", "127.0.0.1.evil.example")
    seen = {
        host: (await served.client.get("/healthz", headers={"host": host})).status_code
        for host in (*ours, *evil)
    }
    assert seen == dict.fromkeys(ours, 200) | dict.fromkeys(evil, 403)


async def test_a_server_for_others_answers_to_any_name(served: Served) -> None:
    wide = served.services.settings.model_copy(update={"host": "0.0.0.0"})
    layer = AccessLayer(served.services, served.services)  # type: ignore[arg-type]
    assert layer.names == {"localhost", "127.0.0.1", "[::1]"}
    services = type(served.services)(**(vars(served.services) | {"settings": wide}))
    assert AccessLayer(layer, services).names == frozenset()


async def test_while_stopping_only_health_is_answered(served: Served) -> None:
    """reliability line 21"""
    served.services.stopping.set()
    for method, path in (("POST", "/api/generate"), ("GET", "/"), ("GET", "/api/models")):
        response = await served.client.request(method, path)
        assert (response.status_code, told(response)["code"]) == (503, "shutting_down")
        assert int(response.headers["retry-after"]) >= 1
    assert (await served.client.get("/healthz")).status_code == 200
    ready = await served.client.get("/readyz")
    assert (ready.status_code, told(ready)["code"]) == (503, "shutting_down")


async def test_a_fault_of_ours_tells_nothing_of_the_inside(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """reliability line 60"""

    def fails() -> None:
        raise ZeroDivisionError("/etc/secret")

    monkeypatch.setattr(served.services.personas, "all", fails)
    response = await served.client.get("/api/personas")
    assert (response.status_code, told(response)["code"]) == (500, "internal_error")
    assert "secret" not in response.text and "Zero" not in response.text
    assert response.headers["x-request-id"] in caplog.text
