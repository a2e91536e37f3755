"""POST /api/generate over real HTTP: answers, streams, refusals, clients that go away."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from qwen_webui.api import connection, events
from qwen_webui.engines.scripted import Script, ScriptedLoader
from qwen_webui.errors import GenerationFailed, OutOfMemory
from tests.api.conftest import Served, serving
from tests.serving import soon

LONG = Script(words=tuple(f"w{i}" for i in range(500)), delay=0.02)
SWIFT = Script(words=tuple(f"w{i}" for i in range(20)), delay=0.005)


def told(response: httpx.Response) -> dict[str, Any]:
    """The error of a response, whose shape is checked on the way."""
    body = response.json()
    assert list(body) == ["error"] and list(body["error"]) == ["message", "type", "code", "param"]
    return dict(body["error"])


async def events_of(response: httpx.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Name and data of each event."""
    name = "message"
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))
            name = "message"


async def test_the_documented_call(served: Served) -> None:
    response = await served.generate("Hello there", max_new_tokens=512, temperature=0.7)
    body = response.json()
    assert response.status_code == 200
    assert list(body) == ["usage", "model", "finish_reason", "text"]
    assert (body["text"], body["model"], body["finish_reason"]) == (
        "Echo: Hello there",
        "one",
        "stop",
    )
    assert body["usage"]["completion_tokens"] == 3
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + 3
    sampling = served.loader.requests[-1].sampling
    assert (sampling.max_new_tokens, sampling.temperature) == (512, 0.7)


async def test_every_field_reaches_the_engine(served: Served) -> None:
    fields = {
        "top_p": 0.5,
        "top_k": 7,
        "stop": ["\n\n", "END"],
        "seed": 11,
        "repetition_penalty": 1.2,
        "temperature": 0,
        "max_new_tokens": 9,
        "system": "Be brief.",
    }
    assert (await served.generate("Hi", **fields)).status_code == 200
    request = served.loader.requests[-1]
    assert [(m.role, m.content) for m in request.messages] == [
        ("system", "Be brief."),
        ("user", "Hi"),
    ]
    sampling = request.sampling
    assert (sampling.top_p, sampling.top_k, sampling.stop) == (0.5, 7, ("\n\n", "END"))
    assert (sampling.seed, sampling.repetition_penalty, sampling.temperature) == (11, 1.2, 0)


async def test_a_persona_speaks(served: Served) -> None:
    persona = served.services.personas.all()[0]
    assert (await served.generate("Hi", persona=persona.id)).status_code == 200
    assert served.loader.requests[-1].messages[0].content == persona.system.en
    response = await served.generate("Hi", persona="nobody")
    assert (response.status_code, told(response)["param"]) == (404, "persona")


async def test_a_stream(served: Served) -> None:
    served.loader.script = SWIFT
    request = {"prompt": "Hi", "stream": True}
    async with served.client.stream("POST", "/api/generate", json=request) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-accel-buffering"] == "no"
        seen = [event async for event in events_of(response)]
    assert {name for name, _ in seen} == {"message"}
    assert "".join(data["text"] for _, data in seen[:-1]).split() == list(SWIFT.words or ())
    last = seen[-1][1]
    assert list(last) == ["usage", "model", "finish_reason"]
    assert last["usage"]["completion_tokens"] == 20


async def test_a_stream_that_waits_says_its_place(tmp_path: Path) -> None:
    async with serving(tmp_path, max_running=1) as served:
        served.loader.script = SWIFT
        first = asyncio.create_task(served.generate())
        await soon(lambda: served.loader.running == 1)
        body = {"prompt": "Hi", "stream": True}
        async with served.client.stream("POST", "/api/generate", json=body) as response:
            seen = [event async for event in events_of(response)]
        assert seen[0] == ("queued", {"place": 1})
        assert (await first).status_code == 200


async def test_an_error_before_the_first_event_is_a_plain_response(served: Served) -> None:
    served.loader.script = Script(fail_at=0, error=OutOfMemory("Too long."))
    for stream in (False, True):
        response = await served.generate("Hi", stream=stream)
        error = told(response)
        assert (response.status_code, error["code"]) == (503, "oom")
    served.loader.script = Script()
    assert (await served.generate()).status_code == 200


async def test_an_error_in_mid_stream_is_the_last_event(served: Served) -> None:
    served.loader.script = Script(words=("a",) * 5, fail_at=3, error=GenerationFailed("It broke."))
    response = await served.generate("Hi", stream=True)
    seen = [event async for event in events_of(response)]
    assert seen[-1][0] == "error"
    assert seen[-1][1]["error"]["code"] == "generation_failed"
    assert len(seen) == 4


async def test_silence_is_broken_by_pings(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PING_SECONDS", 0.05)
    served.loader.script = Script(words=("a",), delay=0.4)
    response = await served.generate("Hi", stream=True)
    assert response.text.startswith(": ping\n\n: ping\n\n")
    assert response.text.count("data:") == 2


async def test_many_at_once(tmp_path: Path) -> None:
    """reliability line 1"""
    async with serving(tmp_path, max_waiting=4) as served:
        served.loader.script = Script(words=("a",) * 20, delay=0.05)
        replies = await asyncio.gather(*(served.generate(str(n)) for n in range(20)))
        refused = [r for r in replies if r.status_code == 429]
        assert len(refused) == 14 and len([r for r in replies if r.status_code == 200]) == 6
        for response in refused:
            assert told(response)["type"] == "overloaded"
            assert int(response.headers["retry-after"]) >= 1
        # Fivefold the promised 100 ms, and far from the second that an answer takes.
        assert max(r.elapsed.total_seconds() for r in refused) < 0.5


async def test_32_streams(tmp_path: Path) -> None:
    """reliability line 2, by counts: every event of every stream arrives."""
    async with serving(tmp_path, max_running=32) as served:
        served.loader.script = Script(words=tuple(f"w{i}" for i in range(50)), delay=0.02)
        replies = await asyncio.gather(*(served.generate(str(n), stream=True) for n in range(32)))
        assert {r.text.count("data:") for r in replies} == {51}
        assert served.loader.peak == 32


async def test_a_wait_that_is_too_long(tmp_path: Path) -> None:
    """reliability line 4"""
    async with serving(tmp_path, max_running=1, queue_timeout=0.2) as served:
        served.loader.script = LONG
        first = asyncio.create_task(served.generate())
        await soon(lambda: served.loader.running == 1)
        response = await served.generate("late")
        assert (response.status_code, told(response)["code"]) == (503, "queue_timeout")
        first.cancel()
        await soon(lambda: served.loader.running == 0)
        assert [r.messages[-1].content for r in served.loader.requests] == ["Hello", "Hi"]


async def test_healthz_answers_whatever_runs(tmp_path: Path) -> None:
    """reliability line 10"""
    async with serving(tmp_path, max_waiting=43) as served:
        served.loader.script = LONG
        slow = [asyncio.create_task(served.generate()) for _ in range(45)]
        await soon(lambda: served.services.manager.status().waiting == 43)
        health = await served.client.get("/healthz")
        assert health.status_code == 200 and health.elapsed.total_seconds() < 0.25
        assert (await served.generate()).status_code == 429
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("script", [LONG, Script(prefill=30)])
async def test_a_client_that_is_killed(served: Served, stream: bool, script: Script) -> None:
    """reliability lines 14, 15: in prefill and in the answer."""
    served.loader.script = script
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(raw_request({"prompt": "Hi", "stream": stream}))
    await soon(lambda: served.loader.running == 1)
    writer.transport.abort()
    await soon(lambda: served.loader.running == 0)
    assert served.services.manager.status().running == 0


async def test_a_waiting_client_that_is_killed(tmp_path: Path) -> None:
    async with serving(tmp_path, max_running=1) as served:
        served.loader.script = LONG
        first = asyncio.create_task(served.generate())
        await soon(lambda: served.loader.running == 1)
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(raw_request({"prompt": "gone"}))
        await soon(lambda: served.services.manager.status().waiting == 1)
        writer.transport.abort()
        await soon(lambda: served.services.manager.status().waiting == 0)
        first.cancel()


def raw_request(body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    return (
        b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(content), content)
    )


async def test_a_reader_that_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """reliability line 16: dropped after the write timeout, and nobody else notices."""
    monkeypatch.setattr(connection, "WRITE_SECONDS", 0.5)
    words = tuple("x" * 20_000 for _ in range(500))  # 10 MB: more than any socket buffers
    async with serving(tmp_path) as served:
        served.loader.script = Script(words=words, delay=0.001)
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", served.port))
        slow.sendall(raw_request({"prompt": "Hi", "stream": True, "max_new_tokens": 500}))
        await soon(lambda: served.loader.running == 1)
        served.loader.script = Script()
        assert (await served.generate("other")).json()["text"] == "Echo: other"
        assert served.loader.running == 1
        await soon(lambda: served.loader.running == 0)
        slow.close()


async def test_a_crash_reaches_the_client_and_the_next_request_works(served: Served) -> None:
    """reliability line 24, without a process"""
    served.loader.script = LONG
    whole = asyncio.create_task(served.generate())
    stream = asyncio.create_task(served.generate("Hi", stream=True))
    await soon(lambda: served.loader.running == 2)
    await asyncio.sleep(0.1)
    served.loader.script = Script(load_delay=0.3)
    served.loader.die()
    response = await whole
    assert (response.status_code, told(response)["code"]) == (503, "engine_crashed")
    seen = [event async for event in events_of(await stream)]
    assert seen[-1][0] == "error" and seen[-1][1]["error"]["code"] == "engine_crashed"
    assert (await served.client.get("/readyz")).status_code == 503
    assert (await served.generate()).json()["text"] == "Echo: Hi"
    assert (await served.client.get("/readyz")).status_code == 200


async def test_a_hang_is_a_504(tmp_path: Path) -> None:
    """reliability line 26"""
    async with serving(tmp_path, ScriptedLoader(stall_seconds=0.1)) as served:
        served.loader.script = Script(words=("a",) * 9, hang_at=0)
        response = await served.generate()
        assert (response.status_code, told(response)["code"]) == (504, "engine_timeout")
        served.loader.script = Script()
        assert (await served.generate()).status_code == 200


async def test_a_prompt_over_the_context(served: Served) -> None:
    before = len(served.loader.requests)
    response = await served.generate("x" * 5000)
    error = told(response)
    assert (response.status_code, error["code"]) == (400, "context_length_exceeded")
    assert "4096" in error["message"] and "50" in error["message"]
    assert len(served.loader.requests) == before


BAD: list[tuple[bytes, str | None]] = [
    (b"", None),
    (b"[]", None),
    (b'"x"', None),
    (b"null", None),
    (b"{", None),
    (b"\xff\xfe", None),
    (b"[" * 100_000, None),
    (b'{"prompt": ' + b"[" * 100_000, "prompt"),
    (b"{}", "prompt"),
    (b'{"prompt": ""}', "prompt"),
    (b'{"prompt": " \\n\\t "}', "prompt"),
    (b'{"prompt": 5}', "prompt"),
    (b'{"prompt": null}', "prompt"),
    (b'{"prompt": ["Hi"]}', "prompt"),
    (b'{"prompt": "Hi", "max_new_tokens": -1}', "max_new_tokens"),
    (b'{"prompt": "Hi", "max_new_tokens": 0}', "max_new_tokens"),
    (b'{"prompt": "Hi", "max_new_tokens": 8193}', "max_new_tokens"),
    (b'{"prompt": "Hi", "max_new_tokens": 1' + b"0" * 30 + b"}", "max_new_tokens"),
    (b'{"prompt": "Hi", "max_new_tokens": "5"}', "max_new_tokens"),
    (b'{"prompt": "Hi", "max_new_tokens": 5.0}', "max_new_tokens"),
    (b'{"prompt": "Hi", "max_new_tokens": true}', "max_new_tokens"),
    (b'{"prompt": "Hi", "temperature": NaN}', "temperature"),
    (b'{"prompt": "Hi", "temperature": Infinity}', "temperature"),
    (b'{"prompt": "Hi", "temperature": 1e999}', "temperature"),
    (b'{"prompt": "Hi", "temperature": -0.1}', "temperature"),
    (b'{"prompt": "Hi", "temperature": "0.7"}', "temperature"),
    (b'{"prompt": "Hi", "temperature": true}', "temperature"),
    (b'{"prompt": "Hi", "top_p": 1.5}', "top_p"),
    (b'{"prompt": "Hi", "top_p": 0}', "top_p"),
    (b'{"prompt": "Hi", "top_k": -1}', "top_k"),
    (b'{"prompt": "Hi", "seed": -1}', "seed"),
    (b'{"prompt": "Hi", "seed": 1.5}', "seed"),
    (b'{"prompt": "Hi", "repetition_penalty": 0}', "repetition_penalty"),
    (b'{"prompt": "Hi", "stop": [1]}', "stop"),
    (b'{"prompt": "Hi", "stop": [""]}', "stop"),
    (b'{"prompt": "Hi", "stream": "yes"}', "stream"),
    (b'{"prompt": "Hi", "stream": 1}', "stream"),
    (b'{"prompt": "Hi", "system": 1}', "system"),
    (b'{"prompt": "Hi", "persona": "../../etc/passwd"}', "persona"),
    (b'{"prompt": "Hi", "n": 1000000}', "n"),
    (b'{"prompt": "Hi", "role": "root"}', "role"),
    (b'{"prompt": "Hi", "chat_template": "{{ 1 }}"}', "chat_template"),
    (b'{"prompt": "Hi", "model": "/etc"}', "model"),
]


async def test_bad_bodies(served: Served) -> None:
    """reliability lines 35, 42"""
    for content, param in BAD:
        response = await served.client.post(
            "/api/generate", content=content, headers={"content-type": "application/json"}
        )
        error = told(response)
        # Of what is nested too deep the place is told, which is long.
        place = error["param"] and error["param"].split("[")[0]
        seen = (response.status_code, error["type"], place)
        assert seen == (422, "invalid_request_error", param), content[:60]
        assert len(error["message"]) < 600 and "pydantic" not in error["message"]
    assert len(served.loader.requests) == 1, "only the smoke generation"


async def test_all_problems_are_told(served: Served) -> None:
    error = told(await served.generate(5, top_k="x", what=1))  # type: ignore[arg-type]
    assert all(name in error["message"] for name in ("prompt", "top_k", "what"))


async def test_odd_text_is_answered(served: Served) -> None:
    """reliability lines 40, 41"""
    control = "<|im_end|><|im_start|>system"
    for prompt in ("\u202e\u2066RTL", "é" * 10, "😀" * 100, "a\r\nb", control):
        response = await served.generate(prompt)
        assert response.status_code == 200
        assert served.loader.requests[-1].messages[-1].content == prompt


async def test_lone_surrogates_and_a_megabyte_of_emoji(served: Served) -> None:
    """reliability line 40"""
    headers = {"content-type": "application/json"}
    lone = await served.client.post(
        "/api/generate", content=b'{"prompt": "a\\ud800b"}', headers=headers
    )
    assert lone.status_code == 422
    assert (await served.generate("a\x00b")).status_code == 422
    emoji = await served.generate("😀" * 250_000)
    assert (emoji.status_code, told(emoji)["code"]) == (400, "context_length_exceeded")


async def test_only_json_is_read(served: Served) -> None:
    """reliability line 54: what a form of a foreign page can send is refused."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"content-type": kind} if kind else {}
        response = await served.client.post(
            "/api/generate", content=b'{"prompt": "Hi"}', headers=headers
        )
        assert response.status_code == 422 and "application/json" in told(response)["message"]
