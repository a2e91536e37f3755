"""What programs ask: messages and prompts as they are, answers of a form, calls of tools.

The assistant, the manager and the checking process are real; the engine plays a script. One token
is one byte.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from qwen_webui.chat import Assistant
from qwen_webui.engines.scripted import Script, ScriptedLoader
from qwen_webui.errors import (
    ContextLengthExceeded,
    GenerationFailed,
    InvalidRequest,
    NotFound,
    SchemaRefused,
)
from qwen_webui.models import ModelManager
from qwen_webui.personas import Personas
from qwen_webui.structured import Structured
from qwen_webui.types import (
    Ask,
    ChatTurn,
    Constraint,
    Finished,
    GenerationEvent,
    Message,
    Sampling,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from tests.serving import managing, soon

SCHEMA = Constraint(
    "json_schema",
    json.dumps({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}),
)
HELLO = (Message("user", "Hello"),)
PROMPT = len("Xuser\nHelloX\nXassistant\n")  # X: a control token


def tool(name: str, **parameters: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": parameters, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


TOOLS = (tool("weather", city={"type": "string"}), tool("stop_it"))
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def structured() -> AsyncIterator[Structured]:
    found = Structured()
    yield found
    await found.close()


class Site:
    """An assistant, and the engine it ends up asking."""

    def __init__(
        self, manager: ModelManager, loader: ScriptedLoader, structured: Structured
    ) -> None:
        self.manager, self.loader = manager, loader
        self.assistant = Assistant(manager, Personas([]), structured)
        self.loader.requests.clear()

    def says(self, text: str, **changes: Any) -> None:
        self.loader.script = Script(answer=lambda spec, request: text, **changes)

    async def events(self, asked: Ask | ChatTurn) -> list[GenerationEvent]:
        async with aclosing(self.assistant.answer(asked)) as events:
            return [event async for event in events]

    async def text(self, asked: Ask | ChatTurn) -> str:
        return "".join(e.text for e in await self.events(asked) if isinstance(e, TextDelta))


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def site(tmp_path: Path, structured: Structured) -> AsyncIterator[Site]:
    async with managing(tmp_path / "tokenizer") as (manager, library, loader):
        # With its folder in the spec, as a checkpoint on the disk has it, bytes are counted.
        library.specs["two"] = replace(library.specs["two"], folder=str(library.folder))
        await manager.load("two")
        yield Site(manager, loader, structured)


# Messages and prompts as they are.


async def test_messages_reach_the_engine_as_they_are(site: Site) -> None:
    messages = (
        Message("user", "What is the weather?"),
        Message("system", ""),
        Message("assistant", "", (ToolCall("weather", {"city": "Oslo"}),)),
        Message("tool", "rain"),
    )
    events = await site.events(Ask(messages, request_id="r1", sampling=Sampling(temperature=0.0)))
    request = site.loader.requests[0]
    assert (request.id, request.messages, request.tools) == ("r1", messages, ())
    assert request.prompt is None and request.sampling.repetition_penalty == 1.05
    assert isinstance(events[-1], Finished)


async def test_a_raw_prompt_reaches_the_engine_as_it_is(site: Site) -> None:
    await site.events(Ask(prompt="<|im_start|>user\nHi"))
    events = await site.events(Ask(prompt=(5, 6, 7)))
    assert [request.prompt for request in site.loader.requests] == [
        "<|im_start|>user\nHi",
        (5, 6, 7),
    ]
    assert site.loader.requests[0].messages == ()
    finished = events[-1]
    assert isinstance(finished, Finished) and finished.usage.prompt_tokens == 3
    with pytest.raises(InvalidRequest, match="400000") as refused:
        await site.events(Ask(prompt=(5, 400_000)))
    assert refused.value.param == "prompt"


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        (Ask(), "messages"),
        (Ask((*HELLO, Message("assistant", "Well,"))), "messages"),
        (Ask(prompt=""), "prompt"),
        (Ask(HELLO, prompt="a"), "prompt"),
        (Ask(prompt="a\0"), "prompt"),
        (Ask((Message("system", "a\ud800"), *HELLO)), "messages[0].content"),
        (
            Ask((Message("assistant", "", (ToolCall("a", {"b": ["\0"]}),)), *HELLO)),
            "messages[0].tool_calls[0]",
        ),
        (Ask(HELLO, sampling=Sampling(temperature=9.0)), "temperature"),
        (Ask(HELLO, tools=TOOLS, tool_choice="other"), "tool_choice"),
        (Ask(HELLO, tool_choice="required"), "tool_choice"),
        (Ask(HELLO, tools=(*TOOLS, TOOLS[0])), "tools[2].function.name"),
        (Ask(HELLO, tools=(tool("no spaces"),)), "tools[0].function.name"),
        (Ask(HELLO, tools=({"type": "custom"},)), "tools[0]"),
        (ChatTurn("Hi", tools=({"type": "custom"},)), "tools[0]"),
        (
            Ask(HELLO, tools=({"type": "function", "function": {"name": "a", "parameters": 1}},)),
            "tools[0].function.parameters",
        ),
        (
            Ask(HELLO, tools=(TOOLS[1], tool("a", b={"type": "nothing"}))),
            "tools[1].function.parameters/properties/b/type",
        ),
        (Ask(HELLO, tools=TOOLS, sampling=Sampling(constraint=SCHEMA)), "tools"),
        (Ask(HELLO, sampling=Sampling(constraint=Constraint("tools", "{}"))), "constraint"),
        (Ask(HELLO, sampling=Sampling(constraint=SCHEMA, stop=("}",))), "stop"),
        (Ask(HELLO, sampling=Sampling(constraint=SCHEMA, max_new_tokens=3)), "max_new_tokens"),
    ],
)
async def test_what_cannot_be_asked_never_reaches_the_engine(
    site: Site, asked: Ask | ChatTurn, param: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await site.events(asked)
    assert refused.value.param == param
    assert site.loader.requests == []


@pytest.mark.parametrize(
    ("asked", "param", "size"),
    [
        (Ask((Message("user", "x" * 5000),)), "messages", PROMPT - 5 + 5000),
        (Ask(prompt="x" * 5000), "prompt", 5000),
        (Ask(prompt=(5,) * 5000), "prompt", 5000),
    ],
)
async def test_too_long_is_refused_with_both_numbers(
    site: Site, asked: Ask, param: str, size: int
) -> None:
    with pytest.raises(ContextLengthExceeded, match=rf"\b{size}\b.*\b4096\b") as refused:
        await site.events(asked)
    assert (refused.value.param, site.loader.requests) == (param, [])


# Answers of a form.


@pytest.mark.parametrize(
    ("asked", "messages"),
    [
        (Ask(HELLO), ("{}", "Hello")),
        (Ask((Message("system", "Be brief."), *HELLO)), ("Be brief.\n\n{}", "Hello")),
        (Ask((Message("system", ""), *HELLO)), ("{}", "Hello")),
        (ChatTurn("Hello"), ("{}", "Hello")),
        (ChatTurn("Hello", system="Be brief."), ("Be brief.\n\n{}", "Hello")),
    ],
)
async def test_the_model_is_told_of_the_schema(
    site: Site, asked: Ask | ChatTurn, messages: tuple[str, ...]
) -> None:
    site.says('{"n": 1}')
    told = replace(asked, sampling=Sampling(constraint=SCHEMA, temperature=0.0))
    assert await site.text(told) == '{"n": 1}'
    request = site.loader.requests[0]
    system, user = (message.content for message in request.messages)
    assert [message.role for message in request.messages] == ["system", "user"]
    assert SCHEMA.value in system
    line = system.removeprefix(messages[0].removesuffix("{}"))
    assert (system, user) == (messages[0].replace("{}", line), messages[1])
    assert (request.sampling.repetition_penalty, request.sampling.constraint) == (1.0, SCHEMA)


async def test_a_penalty_that_was_asked_for_counts(site: Site) -> None:
    site.says('{"n": 1}')
    sampling = Sampling(constraint=SCHEMA, repetition_penalty=1.3)
    await site.events(Ask(prompt="Now", sampling=sampling))
    request = site.loader.requests[0]
    assert request.sampling.repetition_penalty == 1.3
    assert (request.prompt, request.messages) == ("Now", ())


@pytest.mark.parametrize(
    ("constraint", "good", "bad"),
    [
        (SCHEMA, '{"n": 12}', '{"n": "12"}'),
        (Constraint("json_object"), '{"a": []}', "[]"),
        (Constraint("regex", "[0-9]{2}"), "12", "123"),
        (Constraint("choice", '["yes", "no"]'), "no", "perhaps"),
    ],
)
async def test_an_answer_of_another_form_never_finishes(
    site: Site, constraint: Constraint, good: str, bad: str
) -> None:
    asked = Ask(HELLO, sampling=Sampling(constraint=constraint))
    site.says(good)
    assert await site.text(asked) == good
    site.says(bad)
    seen: list[GenerationEvent] = []
    with pytest.raises(GenerationFailed) as failed:
        async with aclosing(site.assistant.answer(asked)) as events:
            async for event in events:
                seen.append(event)
    assert failed.value.code == "invalid_output"
    assert not any(isinstance(event, Finished) for event in seen)
    assert site.manager.status().running == 0


async def test_a_schema_that_cannot_be_held_is_refused_before_the_line(site: Site) -> None:
    site.says("word " * 200, delay=0.01)
    async with aclosing(site.assistant.answer(Ask(HELLO))) as first:
        await anext(first)
        before = len(site.loader.requests)
        bad = Sampling(constraint=Constraint("json_schema", '{"type": "nothing"}'))
        with pytest.raises(SchemaRefused):
            await site.events(Ask(HELLO, sampling=bad))
        assert (site.manager.status().waiting, len(site.loader.requests)) == (0, before)


async def test_a_small_budget_is_refused_by_the_number_that_is_needed(site: Site) -> None:
    sampling = Sampling(constraint=SCHEMA, max_new_tokens=7)
    with pytest.raises(InvalidRequest, match=r"\b8\b") as refused:
        await site.events(Ask(HELLO, sampling=sampling))
    assert refused.value.code == "budget_too_small"
    site.says('{"n": 1}')
    fitting = replace(sampling, max_new_tokens=8)
    assert await site.text(Ask(HELLO, sampling=fitting)) == '{"n": 1}'


# Calls of tools.


async def test_calls_come_apart_from_text(site: Site) -> None:
    site.says(f"Let me look.\n{CALL}")
    events = await site.events(Ask(HELLO, tools=TOOLS, parallel_calls=False))
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    calls = [event for event in events if isinstance(event, ToolCallDelta)]
    assert text == "Let me look."
    assert calls[0] == ToolCallDelta(0, "weather")
    assert "".join(call.arguments for call in calls) == '{"city": "Oslo"}'
    assert len(calls) > 3  # as they come, not at the end
    finished = events[-1]
    assert isinstance(finished, Finished) and finished.reason == "tool_calls"
    request = site.loader.requests[0]
    assert request.tools == TOOLS
    constraint = request.sampling.constraint
    assert constraint is not None and constraint.kind == "tools"
    assert json.loads(constraint.value) == {
        "tools": list(TOOLS),
        "choice": "auto",
        "parallel": False,
    }


async def test_a_turn_may_have_tools_too(site: Site) -> None:
    site.says(CALL)
    events = await site.events(ChatTurn("Hello", tools=TOOLS))
    assert next(event.name for event in events if isinstance(event, ToolCallDelta)) == "weather"
    site.says("No need.")
    finished = (await site.events(ChatTurn("Hello", tools=TOOLS)))[-1]
    assert isinstance(finished, Finished) and finished.reason == "stop"


async def test_with_no_tool_to_be_chosen_none_is_offered(site: Site) -> None:
    site.says(CALL)
    asked = Ask(HELLO, tools=TOOLS, tool_choice="none")
    assert await site.text(asked) == CALL
    request = site.loader.requests[0]
    assert (request.tools, request.sampling.constraint) == ((), None)


@pytest.mark.parametrize("choice", ["required", "stop_it"])
@pytest.mark.parametrize("said", ["No need.", CALL.replace("weather", "unknown")])
async def test_a_call_that_had_to_come_and_did_not_is_an_error(
    site: Site, choice: str, said: str
) -> None:
    site.says(said)
    with pytest.raises(GenerationFailed) as failed:
        await site.events(Ask(HELLO, tools=TOOLS, tool_choice=choice))
    assert failed.value.code == "invalid_output"


async def test_arguments_that_do_not_fit_their_tool_never_finish(site: Site) -> None:
    site.says(CALL.replace('"Oslo"', "7"))
    with pytest.raises(GenerationFailed) as failed:
        await site.events(Ask(HELLO, tools=TOOLS))
    assert failed.value.code == "invalid_output"


async def test_a_call_cut_by_its_length_says_so(site: Site) -> None:
    site.says(CALL)
    sampling = Sampling(max_new_tokens=50)
    events = await site.events(Ask(HELLO, tools=TOOLS, sampling=sampling))
    finished = events[-1]
    assert isinstance(finished, Finished) and finished.reason == "length"


# Swaps in between.


async def test_a_swap_during_the_wait_plans_again(
    site: Site, structured: Structured, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[Path | None] = []
    prepare: Callable[..., Any] = structured.prepare

    async def seen(constraint: Constraint, folder: Path | None) -> Any:
        folders.append(folder)
        return await prepare(constraint, folder)

    monkeypatch.setattr(structured, "prepare", seen)
    site.says('{"n": 1}')
    asked = Ask(HELLO, sampling=Sampling(constraint=SCHEMA))
    async with site.manager.lease(), site.manager.lease():
        swap = asyncio.create_task(site.manager.load("one"))
        await soon(lambda: site.manager._line._holder is not None)  # the swap drains
        answer = asyncio.create_task(site.text(asked))
        await soon(lambda: site.manager.status().waiting == 1)
    assert await answer == '{"n": 1}'
    assert (await swap).name == "one"
    # `one` has no folder of its own, so what was prepared for `two` counts no more.
    assert [folder is not None for folder in folders] == [True, False]


async def test_an_unknown_persona_is_not_found(site: Site) -> None:
    with pytest.raises(NotFound):
        await site.events(ChatTurn("Hello", persona="nobody", tools=TOOLS))
