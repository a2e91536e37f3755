"""A conversation or a run as a file to keep: Markdown to read, JSON with everything.

Only makes text; reading it back is not offered.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal

from qwen_webui.store.reading_lines import quoted, unread
from qwen_webui.store.values import Conversation, JsonRun, StoredMessage

_WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "untitled": "Conversation",
        "user": "User",
        "assistant": "Assistant",
        "system": "System",
        "tool": "Tool",
        "persona": "Persona",
        "stopped": "stopped before its end",
        "tokens": "tokens",
        "rate": "tokens/s",
    },
    "zh": {
        "untitled": "对话",
        "user": "用户",
        "assistant": "助手",
        "system": "系统",
        "tool": "工具",
        "persona": "角色",
        "stopped": "未完成，已停止",
        "tokens": "个词元",
        "rate": "词元/秒",
    },
}


def markdown(conversation: Conversation, language: Literal["en", "zh"]) -> str:
    """The conversation with a heading a message; the messages themselves word for word."""
    words = _WORDS[language]
    parts = [f"# {conversation.title or words['untitled']}", _time(conversation.created)]
    if conversation.persona:
        parts.append(f"{words['persona']}: {conversation.persona}")
    for message in conversation.messages:
        parts += [f"## {words[message.role]}", message.content.strip("\n")]
        if message.role == "assistant":
            parts += _about(message, language)
            parts.append(_footer(message, words))
    return "\n\n".join(part for part in parts if part) + "\n"


def _about(message: StoredMessage, language: Literal["en", "zh"]) -> Iterator[str]:
    """What an answer about documents quotes, and what it did not read."""
    if message.sources is not None:
        if message.citations is not None:
            yield quoted(message.sources, message.citations, language)
        yield from unread(message.sources, language)


def _footer(message: StoredMessage, words: Mapping[str, str]) -> str:
    """What the page shows under an answer, as one line in italics; empty if nothing is known."""
    said = [message.model, message.precision]
    if message.usage:
        said.append(f"{message.usage.completion_tokens} {words['tokens']}")
        if message.usage.tokens_per_second:
            said.append(f"{message.usage.tokens_per_second:.1f} {words['rate']}")
    if message.stopped:
        said.append(words["stopped"])
    line = " · ".join(part for part in said if part)
    return f"*{line}*" if line else ""


def as_json(conversation: Conversation) -> str:
    """Every field; times in ISO 8601, UTC."""
    record = dataclasses.asdict(conversation)
    for part in (record, *record["messages"]):
        for field in ("created", "updated"):
            if field in part:
                part[field] = _time(part[field])
    whole = {"format": "qwen-webui conversation", "version": 1, **record}
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def run_as_json(run: JsonRun) -> str:
    """Every field of a run; the answer word for word, as text."""
    record = {**dataclasses.asdict(run), "created": _time(run.created)}
    whole = {"format": "qwen-webui run", "version": 1, **record}
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
