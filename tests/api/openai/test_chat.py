"""Chat completions: the official client, and every answer and chunk strictly of its types."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import ValidationError

from qwen_webui.api import events
from qwen_webui.engines.scripted import Script
from qwen_webui.errors import GenerationFailed, OutOfMemory
from tests.api.conftest import Served, serving
from tests.api.openai.clients import HELLO, chat, chunks_of, client_of
from tests.api.openai.strict import ChatCompletion, ChatCompletionChunk, strictly
from tests.api.test_generate import told
from tests.serving import soon

WORDS = Script(words=tuple(f"w{n}" for n in range(6)))


async def test_one_answer(served: Served) -> None:
    response = await chat(served, model="one", temperature=0, max_completion_tokens=50)
    answer = strictly(ChatCompletion, response.json())
    assert answer.choices[0].message.content == "Echo: Hello there"
    assert (answer.choices[0].finish_reason, answer.choices[0].logprobs) == ("stop", None)
    assert (answer.model, answer.object) == ("one", "chat.completion")
    assert answer.id.startswith("chatcmpl-") and answer.system_fingerprint.startswith("fp_")
    usage = answer.usage
    assert usage.completion_tokens == 3
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    sampling = served.loader.requests[-1].sampling
    assert (sampling.temperature, sampling.max_new_tokens) == (0, 50)


async def test_the_official_client(served: Served) -> None:
    async with client_of(served) as client:
        answer = await client.chat.completions.create(model="one", messages=HELLO)
        assert answer.choices[0].message.content == "Echo: Hello there"
        served.loader.script = WORDS
        stream = await client.chat.completions.create(
            model="one", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "w0 w1 w2 w3 w4 w5"
    assert chunks[-1].choices == [] and chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 6


async def test_the_client_s_streaming_helper(served: Served) -> None:
    served.loader.script = WORDS
    async with (
        client_of(served) as client,
        client.chat.completions.stream(model="one", messages=HELLO) as stream,
    ):
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()
    # The first chunk has the role and no text yet.
    assert kinds.count("content.delta") == 7 and "content.done" in kinds
    assert final.choices[0].message.content == "w0 w1 w2 w3 w4 w5"


def test_the_synchronous_client_needs_nothing_else() -> None:
    """The two clients share their types and their paths."""
    names = ("create", "parse", "stream")
    both = (openai.OpenAI, openai.AsyncOpenAI)
    found = [c(api_key="none").chat.completions for c in both]
    assert all(hasattr(completions, name) for completions in found for name in names)


async def test_every_chunk(served: Served) -> None:
    served.loader.script = WORDS
    chunks = chunks_of(await chat(served, stream=True))
    assert {(c.id, c.created, c.model, c.system_fingerprint) for c in chunks} == {
        (chunks[0].id, chunks[0].created, "one", chunks[0].system_fingerprint)
    }
    deltas = [chunk.choices[0].delta.model_dump(exclude_unset=True) for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""} and deltas[-1] == {}
    assert [d["content"] for d in deltas[1:-1]] == ["w0", " w1", " w2", " w3", " w4", " w5"]
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons == [None] * 7 + ["stop"]
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)


async def test_usage_is_in_every_chunk_once_it_was_asked_for(served: Served) -> None:
    response = await chat(served, stream=True, stream_options={"include_usage": True})
    chunks = chunks_of(response)
    assert all("usage" in chunk.model_fields_set for chunk in chunks)
    assert [chunk.usage is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1].choices == [] and chunks[-2].choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    "place",
    [(), ("usage",), ("choices", 0), ("choices", 0, "message"), ("usage", "prompt_tokens_details")],
)
async def test_the_strict_check_is_strict(served: Served, place: tuple[Any, ...]) -> None:
    """An injected field, or one of another type, fails it at any depth."""
    body = (await chat(served)).json()
    strictly(ChatCompletion, body)
    part = body
    for step in place:
        part = part[step]
    part["surprise"] = 1
    with pytest.raises(ValidationError, match="surprise"):
        strictly(ChatCompletion, body)
    del part["surprise"]
    part[next(iter(part))] = object()
    with pytest.raises(ValidationError):
        strictly(ChatCompletion, body)


async def test_the_strict_check_of_chunks_is_strict(served: Served) -> None:
    first = chunks_of(await chat(served, stream=True))[0].model_dump(exclude_unset=True)
    first["choices"][0]["delta"]["surprise"] = "x"
    with pytest.raises(ValidationError, match="surprise"):
        strictly(ChatCompletionChunk, first)


async def test_every_sampling_field_reaches_the_engine(served: Served) -> None:
    fields = {
        "temperature": 0.5,
        "top_p": 0.4,
        "top_k": 7,
        "min_p": 0.1,
        "repetition_penalty": 1.2,
        "presence_penalty": 0.3,
        "frequency_penalty": -0.4,
        "logit_bias": {"11": -100, "12": 2.5},
        "logprobs": True,
        "top_logprobs": 2,
        "seed": 5,
        "stop": ["END", "\n\n"],
        "max_tokens": 9,
        "user": "somebody",
    }
    assert (await chat(served, **fields)).status_code == 200
    sampling = served.loader.requests[-1].sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (
        0.5,
        0.4,
        7,
        0.1,
    )
    assert (sampling.repetition_penalty, sampling.presence_penalty) == (1.2, 0.3)
    assert (sampling.frequency_penalty, sampling.logprobs, sampling.seed) == (-0.4, 2, 5)
    assert sampling.logit_bias == ((11, -100.0), (12, 2.5))
    assert (sampling.stop, sampling.max_new_tokens) == (("END", "\n\n"), 9)


async def test_values_equal_to_the_default_are_taken(served: Served) -> None:
    """What clients send by themselves, and what means nothing."""
    fields = {
        "store": False,
        "service_tier": "auto",
        "modalities": ["text"],
        "metadata": {},
        "reasoning_effort": "none",
        "verbosity": "medium",
        "response_format": {"type": "text"},
        "n": 1,
        "tools": None,
        "tool_choice": None,
        "functions": None,
        "prediction": None,
        "stream": False,
        "stream_options": None,
        "logit_bias": {},
        "stop": None,
        "safety_identifier": "x",
    }
    assert (await chat(served, **fields)).status_code == 200


async def test_logprobs(served: Served) -> None:
    body = (await chat(served, logprobs=True, top_logprobs=1)).json()
    answer = strictly(ChatCompletion, body)
    tokens = answer.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == "Echo: Hello there"
    for token in tokens:
        assert bytes(token.bytes).decode() == token.token
        assert [top.token for top in token.top_logprobs] == [token.token]
    plain = strictly(ChatCompletion, (await chat(served, logprobs=True)).json())
    assert plain.choices[0].logprobs.content[0].top_logprobs == []
    chunks = chunks_of(await chat(served, logprobs=True, stream=True))
    told_tokens = [t.token for c in chunks if (p := c.choices[0].logprobs) for t in p.content]
    assert told_tokens == [token.token for token in tokens]


async def test_several_answers(tmp_path: Path) -> None:
    async with serving(tmp_path, max_running=2) as served:
        served.loader.script = Script(words=("a", "b", "c"), delay=0.01)
        answer = strictly(ChatCompletion, (await chat(served, n=5, seed=7)).json())
        assert [choice.index for choice in answer.choices] == [0, 1, 2, 3, 4]
        assert {choice.message.content for choice in answer.choices} == {"a b c"}
        assert answer.usage.completion_tokens == 15
        one = strictly(ChatCompletion, (await chat(served)).json())
        assert answer.usage.prompt_tokens == one.usage.prompt_tokens
        # The first request is the manager's own, when the checkpoint was loaded.
        asked = served.loader.requests[1:6]
        assert sorted(r.sampling.seed or 0 for r in asked) == [7, 8, 9, 10, 11]
        assert len({r.id for r in asked}) == 5
        assert served.loader.peak == 2
        chunks = chunks_of(await chat(served, n=3, stream=True))
    for index in range(3):
        mine = [c.choices[0] for c in chunks if c.choices[0].index == index]
        assert mine[0].delta.role == "assistant" and mine[-1].finish_reason == "stop"
        assert "".join(choice.delta.content or "" for choice in mine) == "a b c"


async def test_one_of_several_that_fails_ends_all(served: Served) -> None:
    served.loader.script = Script(
        words=("a",) * 50, delay=0.01, fail_at=5, error=OutOfMemory("No.")
    )
    response = await chat(served, n=4)
    assert (response.status_code, told(response)["code"]) == (503, "oom")
    await soon(lambda: served.loader.running == 0)


async def test_an_error_before_the_first_chunk_is_a_plain_one(served: Served) -> None:
    served.loader.script = Script(fail_at=0, error=OutOfMemory("Too long."))
    for stream in (False, True):
        response = await chat(served, stream=stream)
        assert (response.status_code, told(response)["code"]) == (503, "oom")


async def test_an_error_later_is_an_event(served: Served) -> None:
    served.loader.script = Script(words=("a",) * 9, fail_at=3, error=GenerationFailed("It broke."))
    response = await chat(served, stream=True)
    events_sent = response.text.strip().split("\n\n")
    assert (
        json.loads(events_sent[-1].removeprefix("data: "))["error"]["code"] == "generation_failed"
    )
    assert len(events_sent) == 5 and "[DONE]" not in response.text
    async with client_of(served) as client:
        stream = await client.chat.completions.create(model="one", messages=HELLO, stream=True)
        with pytest.raises(openai.APIError, match="It broke") as caught:
            _ = [chunk async for chunk in stream]
    assert caught.value.code == "generation_failed"


async def test_silence_is_broken_by_comments(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PING_SECONDS", 0.05)
    served.loader.script = Script(words=("a", "b"), delay=0.3)
    response = await chat(served, stream=True)
    assert response.text.startswith(": ping\n\n")
    assert len(chunks_of(response)) == 4
    async with client_of(served) as client:
        stream = await client.chat.completions.create(model="one", messages=HELLO, stream=True)
        assert len([chunk async for chunk in stream]) == 4


@pytest.mark.parametrize("fields", [{"stream": True}, {}, {"n": 2}, {"n": 2, "stream": True}])
async def test_a_client_that_goes_away_stops_the_engine(
    served: Served, fields: dict[str, Any]
) -> None:
    served.loader.script = Script(words=("a",) * 500, delay=0.02)
    asked = asyncio.create_task(chat(served, **fields))
    await soon(lambda: served.loader.running == fields.get("n", 1))
    asked.cancel()
    await soon(lambda: served.loader.running == 0)
    assert served.services.manager.status().running == 0


async def test_the_full_line_is_a_rate_limit(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, max_running=1, max_waiting=0) as served,
        client_of(served) as client,
    ):
        served.loader.script = Script(words=("a",) * 100, delay=0.02)
        first = asyncio.create_task(client.chat.completions.create(model="one", messages=HELLO))
        await soon(lambda: served.loader.running == 1)
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(model="one", messages=HELLO)
        assert int(caught.value.response.headers["retry-after"]) >= 1
        first.cancel()


async def test_what_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who says to ask, always; texts only where the settings say so; nobody writes lines of it."""
    caplog.set_level(logging.INFO, "qwen_webui")
    async with serving(tmp_path / "a") as served:
        response = await chat(served, user="some\r\nbody")
        number = response.headers["x-request-id"]
        assert f'{number} user "some\\r\\nbody"' in caplog.text
        assert "Hello there" not in caplog.text
    async with serving(tmp_path / "b", settings={"log_prompts": True}) as served:
        await chat(served)
        assert "Hello there" in caplog.text and "Echo: Hello there" in caplog.text
        await served.client.post("/v1/completions", json={"prompt": "Raw text"})
        assert 'prompts: ["Raw text"]' in caplog.text
