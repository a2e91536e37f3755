"""Engines on another server: what it is asked, what becomes of its answers, errors and silence.

A scripted server shows what arrives there; the contract tests have a real one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from qwen_webui.checkpoints import Library
from qwen_webui.engines.base import Engine
from qwen_webui.engines.openai import OpenAILoader
from qwen_webui.engines.scripted import Script, ScriptedLoader
from qwen_webui.errors import (
    CheckpointMissing,
    ContextLengthExceeded,
    DeviceUnusable,
    EngineCrashed,
    EngineTimeout,
    GenerationFailed,
    InvalidRequest,
    ModelSwitching,
    Overloaded,
    SettingsError,
    Unavailable,
    WebUIError,
)
from qwen_webui.services import Services, close_services, open_services, start_first_load
from qwen_webui.settings import Settings
from qwen_webui.types import (
    Ask,
    ChatTurn,
    CheckpointSpec,
    Constraint,
    Finished,
    GenerationEvent,
    GenerationRequest,
    LoadPlan,
    Message,
    ModelShape,
    Sampling,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from tests.engines.asking import first_delta, reply
from tests.engines.upstream import listening, upstream
from tests.serving import soon, write_tokenizer

ASGI = Callable[..., Awaitable[None]]
SHAPE = ModelShape(0, 0, 0, 0, 0, 0, 0, False, 4096)
SPEC = CheckpointSpec("m", "m", "external", "", "fp16", "-", 0, SHAPE)
FULL = Sampling(0.5, 0.9, 7, 0.1, 1.2, 0.3, 0.4, ((5, 2.0),), None, 9, ("END",), 50)
ASKED = GenerationRequest("r", (Message("user", "Hi"),), FULL)
SCHEMA = '{"type": "object"}'
TOOL = {"type": "function", "function": {"name": "time", "parameters": {}}}


class Elsewhere:
    """A server: answers with `chunks`, or with `status` and `body`; keeps what it was asked."""

    def __init__(self) -> None:
        self.models: list[dict[str, Any]] = [{"id": "m", "owned_by": "someone"}]
        self.chunks: list[Any] = [said("Hel"), said("lo"), end("stop"), "[DONE]"]
        self.status = 200
        self.body: bytes = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.hangs = False
        self.loading = 0
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.keys: set[str] = set()
        self.gone = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.keys.add(dict(scope["headers"]).get(b"authorization", b"").decode())
        if scope["path"] == "/v1/models":
            await self._send(send, 200, json.dumps({"data": self.models}).encode())
            return
        if self.loading:
            self.loading -= 1
            await self._send(send, 503, error("loading"))
            return
        content = b""
        while True:
            part = await receive()
            content += part.get("body", b"")
            if not part.get("more_body"):
                break
        asked = json.loads(content)
        if not asked.get("stream"):  # the trial at the end of a load
            await self._send(send, 200, b"{}")
            return
        self.asked.append((scope["path"], asked))
        if self.status != 200:
            await self._send(send, self.status, self.body)
            return
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        for chunk in self.chunks:
            text = chunk if isinstance(chunk, str) else json.dumps(chunk, ensure_ascii=False)
            await send(body(f": ping\r\ndata: {text}\r\n\r\n".encode()))
        if self.hangs:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.gone += 1
            return
        await send(body(b"", more=False))

    async def _send(self, send: Any, status: int, content: bytes) -> None:
        await send({"type": "http.response.start", "status": status, "headers": self.headers})
        await send(body(content, more=False))


def body(content: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


def said(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


def called(index: int, arguments: str, name: str | None = None) -> dict[str, Any]:
    call: dict[str, Any] = {"index": index, "function": {"arguments": arguments}}
    if name is not None:
        call |= {"id": f"c{index}", "type": "function"}
        call["function"]["name"] = name
    return {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]}


def end(reason: str) -> dict[str, Any]:
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": usage}


@asynccontextmanager
async def attached(
    server: Elsewhere, spec: CheckpointSpec = SPEC, **changes: Any
) -> AsyncIterator[tuple[Engine, OpenAILoader]]:
    async with listening(server) as address:
        loader = OpenAILoader(f"{address}/v1", "secret-key", **changes)
        try:
            engine = await loader.load(LoadPlan(spec, ".", "cpu", None, 4096), lambda _: None)
            yield engine, loader
        finally:
            await loader.close()


@pytest.fixture
def server() -> Elsewhere:
    return Elsewhere()


# What the server is asked.


async def test_every_field_arrives(server: Elsewhere) -> None:
    async with attached(server) as (engine, _):
        answer = await reply(engine, ASKED)
    assert (answer.text, answer.reason) == ("Hello", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 2)
    assert 0 < answer.usage.seconds_to_first_token <= answer.usage.seconds
    assert server.keys == {"Bearer secret-key"}
    assert server.asked == [
        (
            "/v1/chat/completions",
            {
                "model": "m",
                "messages": [{"role": "user", "content": "Hi"}],
                "temperature": 0.5,
                "top_p": 0.9,
                "top_k": 7,
                "min_p": 0.1,
                "repetition_penalty": 1.2,
                "presence_penalty": 0.3,
                "frequency_penalty": 0.4,
                "logit_bias": {"5": 2.0},
                "seed": 9,
                "stop": ["END"],
                "max_tokens": 50,
                "stream": True,
                "stream_options": {"include_usage": True},
            },
        )
    ]


@pytest.mark.parametrize(
    ("owner", "sent"),
    [
        ("someone", {}),
        ("vllm", {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}),
        ("llamacpp", {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}),
    ],
)
async def test_fields_beyond_openais_go_to_servers_that_know_them(
    server: Elsewhere, owner: str, sent: dict[str, float]
) -> None:
    server.models[0]["owned_by"] = owner
    off = Sampling(top_k=0, min_p=0.0, repetition_penalty=1.0)
    async with attached(server) as (engine, _):
        await reply(engine, replace(ASKED, sampling=off))
    known = {"model", "messages", "stream", "stream_options"}
    assert {k: v for k, v in server.asked[0][1].items() if k not in known} == sent


@pytest.mark.parametrize(
    ("constraint", "owner", "sent"),
    [
        (
            Constraint("json_schema", SCHEMA),
            "someone",
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": json.loads(SCHEMA), "strict": True},
                }
            },
        ),
        (Constraint("json_object"), "someone", {"response_format": {"type": "json_object"}}),
        (Constraint("regex", "a+"), "vllm", {"structured_outputs": {"regex": "a+"}}),
        (Constraint("choice", '["a"]'), "vllm", {"structured_outputs": {"choice": ["a"]}}),
        (Constraint("regex", "a+"), "someone", None),
        (Constraint("choice", '["a"]'), "qwen-webui", {"structured_outputs": {"choice": ["a"]}}),
    ],
)
async def test_constraints(
    server: Elsewhere, constraint: Constraint, owner: str, sent: dict[str, Any] | None
) -> None:
    server.models[0]["owned_by"] = owner
    asked = replace(ASKED, sampling=Sampling(constraint=constraint))
    async with attached(server) as (engine, _):
        if sent is None:
            with pytest.raises(InvalidRequest) as refused:
                await reply(engine, asked)
            assert refused.value.param == "constraint" and server.asked == []
        else:
            await reply(engine, asked)
            fields = server.asked[0][1]
            assert {name: fields[name] for name in sent} == sent


@pytest.mark.parametrize(
    ("choice", "sent"),
    [("auto", "auto"), ("time", {"type": "function", "function": {"name": "time"}})],
)
async def test_tools_and_the_calls_before(server: Elsewhere, choice: str, sent: Any) -> None:
    value = json.dumps({"tools": [TOOL], "choice": choice, "parallel": False})
    messages = (
        Message("user", "Now?"),
        Message("assistant", "", (ToolCall("time", {"z": "é"}), ToolCall("time", {}))),
        Message("tool", "1"),
        Message("tool", "2"),
    )
    sampling = Sampling(constraint=Constraint("tools", value))
    async with attached(server) as (engine, _):
        await reply(engine, GenerationRequest("r", messages, sampling, (TOOL,)))
    fields = server.asked[0][1]
    assert (fields["tools"], fields["tool_choice"]) == ([TOOL], sent)
    assert fields["parallel_tool_calls"] is False
    calls = fields["messages"][1]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ['{"z": "é"}', "{}"]
    answered = [message["tool_call_id"] for message in fields["messages"][2:]]
    assert answered == [call["id"] for call in calls]


async def test_a_raw_prompt(server: Elsewhere) -> None:
    server.chunks = [
        {"choices": [{"index": 0, "text": "a\u2028b", "finish_reason": None}]},
        {"choices": [{"index": 0, "text": "", "finish_reason": "length"}]},
        {"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3}},
        "[DONE]",
    ]
    raw = GenerationRequest("r", (), Sampling(temperature=0.0), prompt=(5, 6))
    async with attached(server) as (engine, _):
        answer = await reply(engine, raw)
    assert (answer.text, answer.reason) == ("a\u2028b", "length")
    assert answer.usage.completion_tokens == 3
    path, fields = server.asked[0]
    assert (path, fields["prompt"]) == ("/v1/completions", [5, 6])


# What becomes of its answers.


async def test_calls_become_the_text_that_engines_write(server: Elsewhere) -> None:
    server.chunks = [
        said("Well."),
        called(0, "", "time"),
        called(0, '{"a"'),
        called(0, ": 1}"),
        called(1, "{}", "time"),
        end("tool_calls"),
        "[DONE]",
    ]
    async with attached(server) as (engine, _):
        answer = await reply(engine, replace(ASKED, tools=(TOOL,)))
    assert answer.text == (
        'Well.\n<tool_call>\n{"name": "time", "arguments": {"a": 1}}\n</tool_call>'
        '\n<tool_call>\n{"name": "time", "arguments": {}}\n</tool_call>'
    )
    assert answer.reason == "stop"


async def test_tokens_are_told_where_the_tokenizer_is_here(
    server: Elsewhere, tmp_path: Path
) -> None:
    def token(text: str, **more: Any) -> dict[str, Any]:
        return {"token": text, "bytes": list(text.encode()), "logprob": -0.5, **more}

    first = said("h")
    first["choices"][0]["logprobs"] = {"content": [token("h", top_logprobs=[token("i")])]}
    server.chunks = [first, end("stop"), "[DONE]"]
    here = replace(SPEC, folder=str(write_tokenizer(tmp_path)))
    asked = replace(ASKED, sampling=Sampling(logprobs=1, max_new_tokens=9))
    async with attached(server, here) as (engine, _):
        answer = await reply(engine, asked)
        plain = await reply(engine, ASKED)
        with pytest.raises(ContextLengthExceeded, match=r"\b5019\b.*\b4096\b"):
            await reply(engine, replace(ASKED, messages=(Message("user", "x" * 5000),)))
    (told,) = answer.logprobs
    assert answer.ids == (told.token_id,) == plain.ids
    assert (told.text, [text for _, text, _ in told.top]) == ("h", ["i"])
    assert told.top[0][0] != told.token_id
    assert plain.logprobs == []
    assert [fields["logprobs"] for _, fields in server.asked] == [True, True]


async def test_without_a_tokenizer_log_probabilities_are_refused(server: Elsewhere) -> None:
    async with attached(server) as (engine, _):
        with pytest.raises(InvalidRequest) as refused:
            await reply(engine, replace(ASKED, sampling=Sampling(logprobs=1)))
    assert (refused.value.param, server.asked) == ("logprobs", [])


# What goes wrong.


def error(message: str, code: str | None = None, param: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "code": code, "param": param}}).encode()


@pytest.mark.parametrize(
    ("status", "content", "kind", "words"),
    [
        (400, error("no such thing", None, "max_tokens"), InvalidRequest, "no such thing"),
        (400, error("too long", "context_length_exceeded"), ContextLengthExceeded, "too long"),
        (
            400,
            b'{"object":"error","message":"This model\'s maximum context length is 9 tokens."}',
            ContextLengthExceeded,
            "9 tokens",
        ),
        (401, error("who?"), DeviceUnusable, "--engine-key"),
        (404, error("no m", "model_not_found"), EngineCrashed, "no m"),
        (307, b"", DeviceUnusable, "redirect"),
        (429, error("busy"), Overloaded, "busy"),
        (500, b"<html>", GenerationFailed, "does not say why"),
        (500, error("bad", "invalid_output"), GenerationFailed, "bad"),
        (503, error("cut", "model_switching"), ModelSwitching, "cut"),
    ],
)
async def test_refusals_in_our_own_errors(
    server: Elsewhere, status: int, content: bytes, kind: type[WebUIError], words: str
) -> None:
    server.headers = [(b"location", b"http://127.0.0.1:9/v1")]
    async with attached(server) as (engine, _):
        server.status, server.body = status, content
        with pytest.raises(kind) as refused:
            await reply(engine, ASKED)
    assert words in refused.value.message and "127.0.0.1" not in refused.value.message
    if status == 400 and kind is InvalidRequest:
        assert refused.value.param == "max_new_tokens"
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("chunks", "kind"),
    [
        ([said("a")], EngineCrashed),  # it ends without an end
        ([said("a"), "[DONE]"], EngineCrashed),
        ([said("a"), {"error": {"message": "dead", "code": "oom"}}], WebUIError),
        (["no json"], GenerationFailed),
        (["[]"], GenerationFailed),
        ([{"choices": 3}], GenerationFailed),
        ([end("content_filter"), "[DONE]"], GenerationFailed),
    ],
)
async def test_a_stream_that_breaks(
    server: Elsewhere, chunks: list[Any], kind: type[WebUIError]
) -> None:
    server.chunks = chunks
    async with attached(server) as (engine, _):
        with pytest.raises(kind):
            await reply(engine, ASKED)


async def test_to_close_a_stream_hangs_up(server: Elsewhere) -> None:
    server.hangs = True
    async with attached(server) as (engine, _):
        server.chunks = [said("a")]
        async with aclosing(engine.stream(ASKED)) as events:
            await first_delta(events)
        await soon(lambda: server.gone == 1)
        server.chunks = []  # nothing was said yet, as in a prefill
        waiting = asyncio.create_task(reply(engine, ASKED))
        await soon(lambda: len(server.asked) == 2)
        waiting.cancel()
        await asyncio.wait((waiting,))
        await soon(lambda: server.gone == 2)


async def test_silence_is_a_timeout(server: Elsewhere) -> None:
    server.hangs, server.chunks = True, [said("a")]
    async with attached(server, stall_seconds=0.3) as (engine, _):
        with pytest.raises(EngineTimeout):
            await reply(engine, ASKED)


async def test_a_server_that_is_gone_is_noticed_and_its_return_too(
    server: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qwen_webui.engines.openai.engine.WATCH_SECONDS", 0.05)
    monkeypatch.setattr("qwen_webui.engines.openai.loader.RETRY_SECONDS", 0.05)
    async with AsyncExitStack() as life:
        address = await life.enter_async_context(listening(server))
        loader = OpenAILoader(f"{address}/v1")
        plan = LoadPlan(SPEC, ".", "cpu", None, 4096)
        engine = await loader.load(plan, lambda _: None)
        ended = asyncio.create_task(engine.ended())
        await asyncio.sleep(0.2)
        assert not ended.done()
        await life.aclose()
        await asyncio.wait_for(ended, 5)
        with pytest.raises(EngineCrashed):
            await reply(engine, ASKED)
        with pytest.raises(EngineCrashed):
            await loader.load(plan, lambda _: None)
        back = asyncio.create_task(loader.restart())
        await asyncio.sleep(0.2)
        assert not back.done()
        port = int(address.rsplit(":", 1)[1])
        await life.enter_async_context(listening(server, port))
        await asyncio.wait_for(back, 5)
        again = await loader.load(plan, lambda _: None)
        assert (await reply(again, ASKED)).text == "Hello"
        await loader.close()


async def test_a_load_waits_for_a_server_that_is_loading(
    server: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qwen_webui.engines.openai.loader.RETRY_SECONDS", 0.01)
    server.loading = 5
    async with attached(server) as (engine, _):
        assert server.loading == 0
        assert (await reply(engine, ASKED)).text == "Hello"
    monkeypatch.setattr("qwen_webui.engines.openai.loader.READY_SECONDS", 0.05)
    server.loading = 1000
    with pytest.raises(Unavailable, match="loading"):
        async with attached(server):
            pass


async def test_a_model_that_is_not_there(server: Elsewhere) -> None:
    with pytest.raises(CheckpointMissing, match="'n'"):
        async with attached(server, replace(SPEC, name="n")):
            pass


# The whole program over another server.


@asynccontextmanager
async def program(url: str, data: Path, **settings: Any) -> AsyncIterator[Services]:
    services = await open_services(Settings(data_dir=data, engine_url=url, **settings))
    try:
        start_first_load(services)
        await soon(lambda: services.manager.status().state in ("ready", "failed"), 10)
        yield services
    finally:
        await close_services(services)


async def events_of(services: Services, asked: Ask | ChatTurn) -> list[GenerationEvent]:
    async with aclosing(services.assistant.answer(asked)) as events:
        return [event async for event in events]


async def test_the_program_over_a_server_of_its_own_kind(tmp_path: Path) -> None:
    loader = ScriptedLoader(Script(answer=lambda spec, request: '{"n": 1}'))
    demo = next(s for s in Library(tmp_path, hub="huggingface", endpoint=None, offline=True).all())
    assert demo.folder is not None
    async with (
        upstream(Path(demo.folder), tmp_path / "a", loader, max_context=None) as url,
        program(url, tmp_path / "b", engine_key=SecretStr("unasked-for")) as services,
    ):
        status = services.manager.status()
        assert (status.name, status.state) == (demo.name, "ready")
        assert status.info is not None and status.info.checkpoint.family == "external"
        sampling = Sampling(constraint=Constraint("json_schema", '{"type": "object"}'))
        events = await events_of(services, ChatTurn("Hello", sampling=sampling))
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        assert text == '{"n": 1}' and isinstance(events[-1], Finished)
        asked = loader.requests[-1]
        assert asked.sampling.constraint == sampling.constraint
        assert asked.messages[0].content.count("JSON Schema") == 1, "both programs told the model"
        with pytest.raises(ContextLengthExceeded):
            await events_of(services, Ask((Message("user", "long " * 20_000),)))


async def test_the_program_over_a_server_of_another_kind(server: Elsewhere, tmp_path: Path) -> None:
    server.models = [
        {"id": "m", "owned_by": "vllm", "max_model_len": 2000},
        {"id": "n", "owned_by": "llamacpp", "meta": {"n_ctx_train": 9000}},
    ]
    async with listening(server) as address, program(f"{address}/v1", tmp_path) as services:
        info = services.manager.status().info
        assert info is not None and info.max_context == 2000
        assert any("estimates" in note for note in info.notes)
        # Its length is a guess, so history is left out, but what is asked for is not refused.
        history = (Message("user", "x" * 6000), Message("assistant", "y"))
        await events_of(services, ChatTurn("Hello", history))
        assert [m["content"] for m in server.asked[-1][1]["messages"]] == ["Hello"]
        await events_of(services, Ask((Message("user", "z" * 9000),)))
        assert server.asked[-1][1]["max_tokens"] == 500
        server.chunks = [called(0, '{"a": 1}', "time"), end("tool_calls"), "[DONE]"]
        events = await events_of(services, ChatTurn("Hello", tools=(TOOL,)))
        calls = [event for event in events if isinstance(event, ToolCallDelta)]
        assert calls[0].name == "time"
        assert isinstance(events[-1], Finished) and events[-1].reason == "tool_calls"
        server.chunks = [said("Hi"), end("stop"), "[DONE]"]
        await services.manager.load("n")
        info = services.manager.status().info
        assert info is not None and info.max_context == 9000
        await events_of(services, ChatTurn("Hello"))
        assert server.asked[-1][1]["model"] == "n"


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ([], "no model"),
        ([{"id": "unheard-of"}], "--max-context"),
        (None, "OpenAI"),
    ],
)
async def test_a_server_that_cannot_be_used_is_said_at_the_start(
    server: Elsewhere, tmp_path: Path, models: Any, words: str
) -> None:
    server.models = models
    async with listening(server) as address:
        with pytest.raises(SettingsError, match=words):
            await open_services(Settings(data_dir=tmp_path, engine_url=f"{address}/v1"))
    with pytest.raises(SettingsError, match="--engine-url cannot be used"):
        await open_services(Settings(data_dir=tmp_path, engine_url=f"{address}/v1"))
