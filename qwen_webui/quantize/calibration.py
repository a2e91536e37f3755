"""The token sequences on which the quantiser measures how the weights are used.

By default chats that ship with the program, rendered with the checkpoint's own template, answers
included; or paragraphs or chats from a file of the user's. Loads no torch.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qwen_webui.errors import CheckpointMissing, InvalidRequest
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import Message, ToolCall

LONGEST = 2048
# gptqmodel leaves out samples of fewer tokens than this.
SHORTEST = 10


def samples(folder: Path, file: Path | None, count: int) -> list[list[int]]:
    """At most `count` samples of 10 to 2,048 tokens, drawn in an order that is always the same."""
    tokenizer = ChatTokenizer.load(folder)
    found = list(_from_file(tokenizer, file) if file else _shipped(tokenizer))
    usable = [ids[:LONGEST] for ids in found if len(ids) >= SHORTEST]
    if not usable:
        raise InvalidRequest(
            f"{file or 'The shipped calibration text'} has no sample of at least {SHORTEST} "
            "tokens; separate samples by an empty line, or give JSON lines with `messages`.",
            param="calibration",
        )
    random.Random(0).shuffle(usable)
    return usable[:count]


def shipped_tasks() -> Path:
    """The held-out tasks of the embedded checkpoint, which serve as everyone's calibration text."""
    return Path(__file__).parents[1] / "demo" / "tasks.jsonl"


def _shipped(tokenizer: ChatTokenizer) -> Iterator[list[int]]:
    for line in _lines(shipped_tasks()):
        yield _chat(tokenizer, json.loads(line))


def _from_file(tokenizer: ChatTokenizer, file: Path) -> Iterator[list[int]]:
    if file.suffix != ".jsonl":
        for paragraph in "\n".join(_lines(file)).split("\n\n"):
            yield tokenizer.encode(paragraph.strip())
        return
    for number, line in enumerate(_lines(file), 1):
        try:
            value = json.loads(line)
            yield (
                _chat(tokenizer, value) if "messages" in value else tokenizer.encode(value["text"])
            )
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidRequest(
                f"Line {number} of {file} is not a JSON object with `messages` or `text` "
                f"({error}).",
                param="calibration",
            ) from error


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise CheckpointMissing(
            f"{file} cannot be read ({error.strerror}); name a text file with --calibration.",
            param="calibration",
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"{file} is not UTF-8 text (byte {error.start}); convert it first.",
            param="calibration",
        ) from error


def _chat(tokenizer: ChatTokenizer, value: Mapping[str, Any]) -> list[int]:
    """A prompt in the checkpoint's template, and the `answer` after it where there is one."""
    messages = [_message(part) for part in value["messages"]]
    ids = tokenizer.encode_chat(messages, value.get("tools", ()))
    return ids + tokenizer.encode(value.get("answer", ""))


def _message(value: Mapping[str, Any]) -> Message:
    calls = (call.get("function", call) for call in value.get("tool_calls") or ())
    made = tuple(ToolCall(call["name"], call["arguments"]) for call in calls)
    return Message(value["role"], value.get("content") or "", made)
