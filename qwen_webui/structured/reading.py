"""JSON text read strictly: no NaN, no name twice, no lone surrogate, no number that overflows,
nothing after the end. Used for schemas and for finished answers."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from qwen_webui.structured.values import MAX_CHARACTERS, MAX_DEPTH, Problem, shown, step

_SURROGATE = re.compile("[\ud800-\udfff]")
_PIECES = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(:?)|[\[\]{},]')
MAX_DIGITS = 300
# A level of a schema takes two, `properties` and one of them for example.
MOST_BRACKETS = 2 * (MAX_DEPTH + 2)


class Unreadable(Exception):
    """The text is not strict JSON; the message says why."""


def read_strict(text: str) -> Any:
    """The value of a JSON text. Raises Unreadable."""
    if _SURROGATE.search(text):
        raise Unreadable("it holds half a surrogate pair, which is no character")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_members,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except json.JSONDecodeError as error:
        raise Unreadable(f"{error.msg} (line {error.lineno}, column {error.colno})") from error
    except RecursionError as error:
        raise Unreadable("it is nested too deep") from error
    # An escape can make half a pair too; only texts that have such escapes are looked through.
    if "\\u" in text and _SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        raise Unreadable("it holds half a surrogate pair, which is no character")
    return value


def read_schema_text(text: str) -> Any:
    """The value of a schema's text, or the Problem that keeps it from being read."""
    if len(text) > MAX_CHARACTERS:
        return Problem(
            "#",
            f"The schema has {len(text):,} characters; at most {MAX_CHARACTERS:,} are taken. "
            "Shorten its descriptions or split it.",
            "schema_too_large",
        )
    brackets = text.count("[") + text.count("{")
    if brackets > MOST_BRACKETS and (deep := too_deep(text)) is not None:
        return deep
    try:
        return read_strict(text)
    except Unreadable as error:
        return Problem("#", f"The schema is not valid JSON: {error}. Correct it.", "schema_invalid")


def too_deep(text: str) -> Problem | None:
    """Where brackets nest deeper than those of a schema may, found without building anything."""
    trail: list[str] = []
    items: list[int | None] = []  # how many of each open list came before; None in an object
    name = ""
    for piece in _PIECES.finditer(text):
        mark = piece[0][0]
        if mark == '"':
            name = piece[1] if piece[2] else name
        elif mark in "[{":
            inside = items[-1] if items else None
            trail.append(name if inside is None else str(inside))
            items.append(0 if mark == "[" else None)
            if len(trail) > MOST_BRACKETS:
                place = "#"
                for part in trail[1:9]:
                    place = step(place, shown(part))
                what = f"`{shown(name)}`" if name else "The schema"
                return Problem(
                    f"{place}/...",
                    f"{what} is nested deeper than {MAX_DEPTH} levels. "
                    "Flatten the schema, or use `$defs` and `$ref`.",
                    "schema_too_large",
                )
        elif mark == ",":
            if items and items[-1] is not None:
                items[-1] += 1
        elif trail:
            trail.pop()
            items.pop()
    return None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise Unreadable(f'the name "{shown(twice)}" stands twice in one object')
    return found


def _no_constant(name: str) -> NoReturn:
    raise Unreadable(f"{name} is not a JSON value")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise Unreadable(f"the number {shown(text)} is too large")
    return number


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise Unreadable(f"the number {shown(text)} is too large")
    return int(text)
