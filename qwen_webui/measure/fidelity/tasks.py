"""The tasks of a measurement: read from a file, chosen, asked greedily, and judged by rules.

Which answer passes is the check's to say (checks.py). Two more things are judged in the same
answers: whether JSON that was asked for is JSON of the wanted form, and whether quotations stand
where they say.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from qwen_webui.documents import Document, Page
from qwen_webui.documents.citations import Checker
from qwen_webui.engines.base import Engine
from qwen_webui.measure.fidelity.checks import passes, unfenced
from qwen_webui.types import Finished, GenerationRequest, Message, Sampling, TextDelta, ToolCall

LONGEST_ANSWER = 320
# Penalties off: they would change greedy answers, and JSON and quotations repeat what was said.
GREEDY = Sampling(
    temperature=0.0,
    repetition_penalty=1.0,
    presence_penalty=0.0,
    frequency_penalty=0.0,
    max_new_tokens=LONGEST_ANSWER,
)
_PAGE = re.compile(r"\[p\. (\d+)\]\s")


@dataclass(frozen=True)
class Task:
    """A prompt (all messages before the scored answer), a reference answer, and the check."""

    skill: str
    language: str
    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...]
    check: Mapping[str, Any]
    answer: str


@dataclass(frozen=True)
class Outcome:
    """What came of a task. `json_valid` None: no JSON was asked for."""

    task: Task
    text: str
    passed: bool
    json_valid: bool | None
    quoted: int
    verified: int


def read_tasks(path: Path) -> Iterator[Task]:
    """One task a line, as JSON objects with the fields of Task; `tools` may be missing."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            value = json.loads(line)
            value["messages"] = tuple(value["messages"])
            value["tools"] = tuple(value.get("tools", ()))
            yield Task(**value)


def chosen(tasks: Sequence[Task], count: int) -> list[Task]:
    """`count` of them at most, as many of each skill and language as of the others, and of each
    those that come first."""
    kinds: dict[tuple[str, str], list[Task]] = defaultdict(list)
    for task in tasks:
        kinds[task.skill, task.language].append(task)
    turns = max((len(of_it) for of_it in kinds.values()), default=0)
    mixed = [of_it[turn] for turn in range(turns) for of_it in kinds.values() if turn < len(of_it)]
    return mixed[:count]


async def outcomes(
    engine: Engine, tasks: Sequence[Task], done: Callable[[int], None]
) -> list[Outcome]:
    """One after another, so that no answer depends on what is computed beside it."""
    found = []
    for number, task in enumerate(tasks, 1):
        messages = tuple(map(_message, task.messages))
        asked = GenerationRequest(f"fidelity-{number}", messages, GREEDY, task.tools)
        text, ended = "", False
        async with aclosing(engine.stream(asked)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    text += event.text
                elif isinstance(event, Finished):
                    ended = event.reason == "stop"
        found.append(judged(task, text, ended))
        done(number)
    return found


def judged(task: Task, text: str, ended: bool) -> Outcome:
    """The verdicts on one answer."""
    valid = None
    if task.check["kind"] == "json":
        valid = ended and is_valid(text, task.check)
    quoted, verified = _quotations(task, text)
    return Outcome(task, text, ended and passes(task.check, text), valid, quoted, verified)


def is_valid(text: str, check: Mapping[str, Any]) -> bool:
    """Whether the answer is JSON of the wanted form: the check's `schema`, or else the shape of its
    `value`, in which any single value may be a string, a number or null."""
    try:
        value = json.loads(unfenced(text.strip()))
    except ValueError:
        return False
    schema = check.get("schema") or _shape(check["value"])
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


def _shape(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return {
            "type": "object",
            "properties": {name: _shape(part) for name, part in value.items()},
            "required": list(value),
            "additionalProperties": False,
        }
    if isinstance(value, list):
        shapes = [_shape(part) for part in value]
        return {"type": "array", "items": {"anyOf": shapes}} if shapes else {"type": "array"}
    return {"type": ["string", "number", "boolean", "null"]}


def _quotations(task: Task, text: str) -> tuple[int, int]:
    """How many the answer makes to a quotation task with pages, and how many of them stand where it
    says. None at all is one that does not."""
    if task.check["kind"] != "quote" or task.check.get("page") is None:
        return 0, 0
    found = Checker([Document("passage", "text", "page", tuple(_pages(task)))]).check(text)
    return max(1, len(found)), sum(one.verified for one in found)


def _pages(task: Task) -> Iterator[Page]:
    """The pages that stand in the messages; a number may come again in a later passage."""
    pages: dict[int, str] = {}
    for message in task.messages:
        if message["role"] in ("system", "user"):
            _, *parts = _PAGE.split(message.get("content") or "")
            for number, text in zip(map(int, parts[::2]), parts[1::2], strict=True):
                pages[number] = f"{pages.get(number, '')}\n{text}"
    return (Page(number, text) for number, text in sorted(pages.items()))


def _message(value: Mapping[str, Any]) -> Message:
    calls = (call.get("function", call) for call in value.get("tool_calls") or ())
    made = tuple(ToolCall(call["name"], call["arguments"]) for call in calls)
    return Message(value["role"], value.get("content") or "", made)
