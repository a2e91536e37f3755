"""Requests that no honest client sends: refused in the one shape of errors, at no great cost."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.api.conftest import Served
from tests.api.test_generate import told

HEAD = b"Host: localhost\r\nContent-Type: application/json\r\n"


async def exchange(served: Served, sent: bytes) -> tuple[int, dict[str, object]]:
    """Status and body of whatever comes back for raw bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(sent)
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readuntil(b"}}")
    writer.close()
    return int(head.split()[1]), json.loads(body)["error"]


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"\x16\x03\x01\x02\x00 what a TLS client says\r\n\r\n", 400, "invalid_request"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400, "invalid_request"),
        (b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: -1\r\n\r\n", 400, "invalid_request"),
        (b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 1%s\r\n\r\n" % (b"0" * 5000), 400, None),
        (b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 9%s\r\n\r\n" % (b"0" * 17), 413, None),
        (b"BREW /api/generate HTTP/1.1\r\n" + HEAD + b"\r\n", 405, "method_not_allowed"),
        (b"TRACE /api/models HTTP/1.1\r\n" + HEAD + b"\r\n", 405, "method_not_allowed"),
        (b"GET /api/%ff%00%0d%0a HTTP/1.1\r\n" + HEAD + b"\r\n", 404, "not_found"),
    ],
)
async def test_what_is_no_sound_request(
    served: Served, sent: bytes, status: int, code: str | None
) -> None:
    """reliability line 35"""
    got, error = await exchange(served, sent)
    assert got == status and set(error) == {"message", "type", "code", "param"}
    assert code in (None, error["code"])
    assert (await served.client.get("/healthz")).status_code == 200


async def test_a_broken_chunk_costs_only_its_sender(served: Served) -> None:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    for rest in (b"zz\r\nabc", b"-5\r\n", b"5\r\nabcdefghi\r\n"):
        got, error = await exchange(served, b"POST /api/generate HTTP/1.1\r\n" + chunked + rest)
        assert (got, error["code"]) == (400, "invalid_request")
    assert (await served.generate()).status_code == 200


@pytest.mark.parametrize("name", ["", " ", "../../etc", "/etc", "a\nb", "q" * 3_000_000])
async def test_names_that_name_nothing(served: Served, name: str) -> None:
    response = await served.client.post("/api/models/load", json={"name": name, "wait": True})
    assert (response.status_code, told(response)["code"]) == (404, "not_found")
    assert served.loader.loads == ["one"]


async def test_what_is_refused_is_not_sent_back(served: Served) -> None:
    response = await served.generate("Hi", **{"q" * 3_000_000: 1})
    error = told(response)
    assert response.status_code == 422 and len(response.content) < 2000
    assert str(error["param"]).startswith("qqq")


async def test_a_body_of_nothing_but_mistakes_is_not_listed(served: Served) -> None:
    """Two hundred thousand problems would take seconds to write down."""
    response = await served.generate("Hi", **{f"f{n}": 1 for n in range(200_000)})
    error = told(response)
    assert response.status_code == 422 and "200000" in error["message"]
    assert response.elapsed.total_seconds() < 2.5 and len(response.content) < 2000


async def test_numbers_that_would_make_logits_infinite(served: Served) -> None:
    for value in (5e-324, 1e-30, 2.5):
        error = told(await served.generate("Hi", repetition_penalty=value))
        assert error["param"] == "repetition_penalty" and "0.01" in error["message"]
    error = told(await served.generate("Hi", seed=2**63))
    assert str(2**63 - 1) in error["message"]


DEEP_SCHEMA = '{"items": ' * 10_000 + "{}" + "}" * 10_000
DEEP_LIST = "[" * 10_000 + "]" * 10_000


@pytest.mark.parametrize(
    ("path", "body", "param", "words"),
    [
        (
            "/api/generate",
            f'{{"prompt": "Hi", "schema": {DEEP_SCHEMA}}}',
            "schema.items.",
            "`items`",
        ),
        ("/api/structured/check", f'{{"schema": {DEEP_SCHEMA}}}', "schema.items.", "64 levels"),
        (
            "/v1/chat/completions",
            '{"messages": [], "tools": [{"type": "function", "function": {"name": "f", '
            f'"parameters": {DEEP_SCHEMA}}}}}]}}',
            "tools[0].function.parameters.items.",
            "`items`",
        ),
        (
            "/v1/chat/completions",
            '{"messages": [], "response_format": {"type": "json_schema", "json_schema": '
            f'{{"name": "n", "schema": {DEEP_SCHEMA}}}}}}}',
            "response_format.json_schema.schema.items.",
            "`$defs`",
        ),
        ("/v1/chat/completions", f'{{"messages": {DEEP_LIST}}}', "messages", "The body is nested"),
    ],
)
async def test_a_body_that_nests_too_deep_is_told_where(
    served: Served, path: str, body: str, param: str, words: str
) -> None:
    response = await served.client.post(
        path, content=body, headers={"content-type": "application/json"}
    )
    error = told(response)
    assert response.status_code == (400 if path.startswith("/v1/") else 422)
    assert str(error["param"]).startswith(param) and words in str(error["message"])
    assert error["code"] == ("invalid_request" if "body" in words else "schema_too_large")
