"""Tools through the official client: asked for, called, answered; whole and in pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from qwen_webui.engines.scripted import Script
from qwen_webui.types import CheckpointSpec, GenerationRequest
from tests.api.conftest import Served
from tests.api.openai.clients import chat, chunks_of, client_of
from tests.api.openai.strict import ChatCompletion, ChatCompletionChunk, strictly

ASK: list[Any] = [{"role": "user", "content": "What is the weather in Paris and Rome?"}]
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city today",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
        "strict": True,
    },
}
CALLS = (
    'Let me look.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'
)
ONLY = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'


def weatherman(_: CheckpointSpec, request: GenerationRequest) -> str:
    """Calls the tool, and tells its result once it has one."""
    results = [m.content for m in request.messages if m.role == "tool"]
    return f"It is {' and '.join(results)}." if results else CALLS


async def test_calls(served: Served) -> None:
    served.loader.script = Script(words=(CALLS,))
    answer = strictly(ChatCompletion, (await chat(served, messages=ASK, tools=[WEATHER])).json())
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert (choice.message.content or "").strip() == "Let me look."
    assert [(c.type, c.function.name) for c in choice.message.tool_calls] == [
        ("function", "weather")
    ] * 2
    assert [json.loads(c.function.arguments) for c in choice.message.tool_calls] == [
        {"city": "Paris"},
        {"city": "Rome"},
    ]
    ids = {c.id for c in choice.message.tool_calls}
    assert len(ids) == 2 and all(id.startswith("call_") for id in ids)
    request = served.loader.requests[-1]
    assert [tool["function"]["name"] for tool in request.tools] == ["weather"]
    assert "strict" not in request.tools[0]["function"]
    constraint = request.sampling.constraint
    assert constraint is not None and constraint.kind == "tools"
    assert json.loads(constraint.value)["choice"] == "auto"


async def test_only_a_call_has_no_content(served: Served) -> None:
    served.loader.script = Script(words=(ONLY,))
    body = (await chat(served, messages=ASK, tools=[WEATHER])).json()
    assert strictly(ChatCompletion, body).choices[0].message.content is None
    chunks = chunks_of(await chat(served, messages=ASK, tools=[WEATHER], stream=True))
    assert chunks[0].choices[0].delta.model_dump(exclude_unset=True) == {
        "role": "assistant",
        "content": None,
    }


async def test_calls_in_pieces(served: Served) -> None:
    # A token for every word of the answer: the arguments come in several.
    served.loader.script = Script(answer=lambda *_: CALLS)
    chunks = chunks_of(await chat(served, messages=ASK, tools=[WEATHER], stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    text = "".join(delta.content or "" for delta in deltas)
    assert text.strip() == "Let me look." and "<tool_call>" not in text
    pieces = [call for delta in deltas for call in delta.tool_calls or ()]
    for index, city in ((0, "Paris"), (1, "Rome")):
        mine = [piece for piece in pieces if piece.index == index]
        assert mine[0].id.startswith("call_") and mine[0].type == "function"
        assert mine[0].function.name == "weather"
        assert all(p.id is None and p.type is None and p.function.name is None for p in mine[1:])
        arguments = "".join(piece.function.arguments for piece in mine)
        assert json.loads(arguments) == {"city": city}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    injected = next(chunk for chunk in chunks if chunk.choices[0].delta.tool_calls)
    raw = injected.model_dump(exclude_unset=True)
    raw["choices"][0]["delta"]["tool_calls"][0]["function"]["surprise"] = 1
    with pytest.raises(ValidationError, match="surprise"):
        strictly(ChatCompletionChunk, raw)


async def test_there_and_back(served: Served) -> None:
    served.loader.script = Script(answer=weatherman)
    async with client_of(served) as client:
        said = list(ASK)
        first = await client.chat.completions.create(model="one", messages=said, tools=[WEATHER])
        # As programs do: the whole message goes back as it came.
        said.append(first.choices[0].message.model_dump())
        calls_made = first.choices[0].message.tool_calls or ()
        for call, result in zip(calls_made, ("sun", "rain"), strict=True):
            said.append({"role": "tool", "tool_call_id": call.id, "content": result})
        second = await client.chat.completions.create(model="one", messages=said, tools=[WEATHER])
    assert second.choices[0].message.content == "It is sun and rain."
    assert second.choices[0].finish_reason == "stop"
    calls = served.loader.requests[-1].messages[1].tool_calls
    assert [call.arguments for call in calls] == [{"city": "Paris"}, {"city": "Rome"}]


class Weather(BaseModel):
    """The weather in a city."""

    city: str


async def test_the_streaming_helper_and_parsed_arguments(served: Served) -> None:
    from openai import pydantic_function_tool

    served.loader.script = Script(words=(ONLY.replace("weather", "Weather"),))
    tool = pydantic_function_tool(Weather)
    async with client_of(served) as client:
        stream = client.chat.completions.stream(model="one", messages=ASK, tools=[tool])
        async with stream as events:
            done = [e async for e in events if e.type == "tool_calls.function.arguments.done"]
        parsed = await client.chat.completions.parse(model="one", messages=ASK, tools=[tool])
    assert [(event.name, event.parsed_arguments) for event in done] == [
        ("Weather", Weather(city="Paris"))
    ]
    call = (parsed.choices[0].message.tool_calls or ())[0]
    assert call.function.parsed_arguments == Weather(city="Paris")


@pytest.mark.parametrize(
    ("choice", "parallel", "meant"),
    [
        (None, None, {"choice": "auto", "parallel": True}),
        ("required", False, {"choice": "required", "parallel": False}),
        (
            {"type": "function", "function": {"name": "weather"}},
            None,
            {"choice": "weather", "parallel": True},
        ),
    ],
)
async def test_choices(served: Served, choice: Any, parallel: Any, meant: dict[str, Any]) -> None:
    served.loader.script = Script(words=(ONLY,))
    fields = {"tools": [WEATHER], "tool_choice": choice, "parallel_tool_calls": parallel}
    assert (await chat(served, messages=ASK, **fields)).status_code == 200
    constraint = served.loader.requests[-1].sampling.constraint
    assert constraint is not None
    value = json.loads(constraint.value)
    assert {name: value[name] for name in meant} == meant


async def test_none_means_that_the_model_is_not_told(served: Served) -> None:
    body = (await chat(served, messages=ASK, tools=[WEATHER], tool_choice="none")).json()
    assert strictly(ChatCompletion, body).choices[0].message.tool_calls is None
    request = served.loader.requests[-1]
    assert (request.tools, request.sampling.constraint) == ((), None)
