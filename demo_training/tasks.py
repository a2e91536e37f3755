"""The tasks a checkpoint is measured on: held-out ones and ones written by hand.

A task is an example of the generator with its answer set apart. Nothing here generates or scores;
reading a file of them is qwen_webui/measure/fidelity's.
"""

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from demo_training.examples import SKILLS, Example, Language, example
from demo_training.handwritten import handwritten
from qwen_webui.measure.fidelity.tasks import Task

LANGUAGES: tuple[Language, ...] = ("en", "zh")
BY_HAND = " by hand"


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
