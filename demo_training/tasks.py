"""The tasks a checkpoint is measured on: held-out ones, ones written by hand, ones from a file.

A task is an example of the generator with its answer set apart. Nothing here generates or scores.
"""

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from demo_training.examples import SKILLS, Example, Language, example
from demo_training.handwritten import handwritten

LANGUAGES: tuple[Language, ...] = ("en", "zh")
BY_HAND = " by hand"


@dataclass(frozen=True)
class Task:
    """A prompt (all messages before the scored answer), a reference answer, and the check."""

    skill: str
    language: str
    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...]
    check: Mapping[str, Any]
    answer: str


def heldout_tasks(count: int, seed: int) -> Iterator[Task]:
    """`count` tasks for each skill and language, from names and values that training never has."""
    for skill in SKILLS:
        for language in LANGUAGES:
            rng = random.Random(f"{seed} {skill} {language}")
            for _ in range(count):
                yield _task(skill, example(rng, "heldout", skill, language))


def handwritten_tasks() -> Iterator[Task]:
    """Prompts that no generator made; their skills are marked as such."""
    for made in handwritten():
        yield _task(made.skill + BY_HAND, made)


def read_tasks(path: Path) -> Iterator[Task]:
    """Tasks from a file as `write_tasks` leaves it."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            value = json.loads(line)
            value["messages"] = tuple(value["messages"])
            value["tools"] = tuple(value.get("tools", ()))
            yield Task(**value)


def write_tasks(path: Path, tasks: Iterable[Task]) -> None:
    """One JSON object a line; a task without tools has no `tools`."""
    with path.open("w", encoding="utf-8") as out:
        for task in tasks:
            value = {key: part for key, part in asdict(task).items() if part or key != "tools"}
            out.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def _task(skill: str, made: Example) -> Task:
    *prompt, answer = made.messages
    text = answer.get("content") or "\n".join(map(_call, answer["tool_calls"]))
    return Task(skill, made.language, tuple(prompt), made.tools, made.check, text)


def _call(call: Mapping[str, Any]) -> str:
    """A tool call as the chat template writes it."""
    said = call.get("function", call)
    value = {"name": said["name"], "arguments": said["arguments"]}
    return f"<tool_call>\n{json.dumps(value, ensure_ascii=False)}\n</tool_call>"
