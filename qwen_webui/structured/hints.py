"""A short text for each regular expression of a constraint, for the search of an answer's end.

After `.+` a grammar allows the same before and after an @, so that nothing it says shows the way to
the end of `.+@.+`; the end of such a text does. Only guesses: the grammar decides what is taken.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from re import _constants as sre  # type: ignore[attr-defined]
from typing import Any

from qwen_webui.structured.hostile import matches
from qwen_webui.structured.patterns import UnusablePattern, parsed
from qwen_webui.structured.reading import read_schema_text
from qwen_webui.types import Constraint

# As in alphabet.py: 1 before 0, and what needs no escape before what does.
_CHARACTERS = "a1A0-_./:,; @\"'\n\t中"
MOST_LENGTH = 200
MOST_HINTS = 50


def hints(constraint: Constraint) -> tuple[bytes, ...]:
    """Different texts, as bytes of the answer; none for what has no regular expressions."""
    found: dict[bytes, None] = {}
    for pattern in _patterns(constraint):
        try:
            text = _shortest(parsed(pattern))
        except UnusablePattern:
            continue  # refused where the constraint is checked
        if constraint.kind != "regex":
            text = json.dumps(text, ensure_ascii=False)[1:-1]
        if 0 < len(text) <= MOST_LENGTH:
            found[text.encode("utf-8", "replace")] = None
        if len(found) == MOST_HINTS:
            break
    return tuple(found)


def _patterns(constraint: Constraint) -> Iterator[str]:
    if constraint.kind == "regex":
        yield constraint.value
    elif constraint.kind in ("json_schema", "tools"):
        open_values = [read_schema_text(constraint.value)]
        while open_values:
            value = open_values.pop()
            if isinstance(value, list):
                open_values += value
            elif isinstance(value, dict):
                if isinstance(value.get("pattern"), str):
                    yield value["pattern"]
                if isinstance(value.get("patternProperties"), dict):
                    yield from value["patternProperties"]
                open_values += value.values()


def _shortest(items: Any) -> str:
    """A short match of a sequence. Cut where it is too long to be a hint, so that repetitions
    inside each other stay small."""
    return "".join(_one(kind, argument) for kind, argument in items)[: MOST_LENGTH + 1]


def _one(kind: Any, argument: Any) -> str:
    if kind is sre.LITERAL:
        return chr(argument)
    if kind is sre.SUBPATTERN:
        return _shortest(argument[3])
    if kind is sre.BRANCH:
        return min(map(_shortest, argument[1]), key=len)
    if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):
        least, _, inner = argument
        return _shortest(inner) * min(int(least), MOST_LENGTH)
    if kind in (sre.NOT_LITERAL, sre.ANY, sre.IN):
        return next((c for c in _CHARACTERS if matches(kind, argument, c)), _named(argument))
    return ""


def _named(argument: Any) -> str:
    """The first character that a class names."""
    if not isinstance(argument, list):
        return ""
    for kind, value in argument:
        if kind is sre.LITERAL:
            return chr(value)
        if kind is sre.RANGE:
            return chr(value[0])
    return ""
