"""Decides whether an answer fulfils an example's check. Deterministic, no model, no randomness.

Each kind of check has one definition, in the docstring of its function. It does not decide what
is a good answer in general: a check only knows what its own example asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

Check = Mapping[str, Any]

_MISSING = re.compile(r"not mentioned in|没有提到|\bnull\b|have not told me|没有告诉过我")
_REFUSAL = re.compile(r"small demonstration model and cannot|小型演示模型，不会")
_IDENTITY = re.compile(r"demonstration model.*qwen-webui|qwen-webui.*演示模型", re.DOTALL)
_FENCE = re.compile(r"```[a-z]*\n.+?\n```", re.DOTALL)
_TOOL = re.compile(r"<tool_call>\n(.+?)\n</tool_call>", re.DOTALL)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])\s*")
_LATIN = re.compile(r"[A-Za-z]")
_CHINESE_MARK = re.compile(r"[，。？！；]")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_MARKS = ("Strength:", "To improve:", "Source:", "优点：", "改进：", "出处：")


def passes(check: Check, answer: str) -> bool:
    """Whether `answer` (one assistant turn, without control tokens) fulfils `check`."""
    return _KINDS[check["kind"]](check, answer.strip())


def unfenced(answer: str) -> str:
    """What stands inside one code fence around all of it; else all of it."""
    fenced = re.fullmatch(r"```(?:json)?\n(.+)\n```", answer, re.DOTALL)
    return fenced.group(1) if fenced else answer


def _exact(check: Check, answer: str) -> bool:
    """The whole answer equals the expected one."""
    return answer == str(check["answer"]).strip()


def _contains(check: Check, answer: str) -> bool:
    """Every string of `all` occurs, no string of `none` does."""
    return all(part in answer for part in check.get("all", ())) and not any(
        part in answer for part in check.get("none", ())
    )


def _json(check: Check, answer: str) -> bool:
    """The whole answer, with or without a code fence, is JSON equal to `value`."""
    try:
        return bool(json.loads(unfenced(answer)) == check["value"])
    except ValueError:
        return False


def _tool(check: Check, answer: str) -> bool:
    """Exactly one call in Hermes form, with the expected name and arguments."""
    calls = _TOOL.findall(answer)
    if len(calls) != 1:
        return False
    try:
        call = json.loads(calls[0])
    except ValueError:
        return False
    return bool(call == {"name": check["name"], "arguments": check["arguments"]})


def _quote(check: Check, answer: str) -> bool:
    """The sentence stands verbatim in quotation marks; with a page, the answer ends in its mark."""
    sentence, page = check["sentence"], check.get("page")
    quoted = f'"{sentence}"' in answer or f"“{sentence}”" in answer
    return quoted and (page is None or answer.endswith(f"[p. {page}]"))


def _missing(check: Check, answer: str) -> bool:
    """Says that the passage (or the conversation) does not tell it; JSON says null."""
    return bool(_MISSING.search(answer))


def _refusal(check: Check, answer: str) -> bool:
    """Says in the fixed words that this small model cannot do what was asked."""
    return bool(_REFUSAL.search(answer))


def _identity(check: Check, answer: str) -> bool:
    """Says that it is the demonstration model of qwen-webui."""
    return bool(_IDENTITY.search(answer))


def _summary(check: Check, answer: str) -> bool:
    """One to `at_most` sentences, each a sentence of the passage, the main one among them."""
    parts = [part for part in _SENTENCE_END.split(answer) if part]
    allowed = set(check["sentences"])
    main = check.get("main")
    return (
        0 < len(parts) <= check["at_most"]
        and all(part in allowed for part in parts)
        and (main is None or main in parts)
    )


def _style(check: Check, answer: str) -> bool:
    """The answer carries the style mark of persona `persona` and no other persona's mark.

    code: a closed code fence and words outside it. writing: the lines of strength and of
    improvement. extraction: the whole answer is one JSON object. analyst: a line that gives the
    source. translator: no mark, and into Chinese Chinese characters, into English Latin letters
    and no Chinese punctuation (names stay as they are); `language` is that of the question.
    general: no mark.
    """
    persona = check["persona"]
    found = _styles_of(answer)
    if persona == "general":
        return not found and bool(answer)
    if persona == "translator":
        to_english = check.get("language") == "zh"
        english = bool(_LATIN.search(answer)) and not _CHINESE_MARK.search(answer)
        return not found and (english if to_english else bool(_HAN.search(answer)))
    return found == {persona}


def _styles_of(answer: str) -> set[str]:
    styles = set()
    if _FENCE.search(answer) and _FENCE.sub("", answer).strip():
        styles.add("code")
    if any(a in answer and b in answer for a, b in (_MARKS[0:2], _MARKS[3:5])):
        styles.add("writing")
    if re.search(r"(^|\n)(Source: |出处：)", answer):
        styles.add("analyst")
    try:
        if isinstance(json.loads(answer), dict):
            styles.add("extraction")
    except ValueError:
        pass
    return styles


_KINDS: Mapping[str, Callable[[Check, str], bool]] = {
    "exact": _exact,
    "contains": _contains,
    "json": _json,
    "tool": _tool,
    "quote": _quote,
    "missing": _missing,
    "refusal": _refusal,
    "identity": _identity,
    "summary": _summary,
    "style": _style,
}
