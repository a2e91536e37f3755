"""A JSON Schema for values like a given one.

Arrays are described by all their items together; a property that some lack is optional. Formats
are named when every example text has them. Limits on lengths and sizes are not guessed.
"""

from __future__ import annotations

import re
from typing import Any

from qwen_webui.structured.formats import PATTERNS

_FORMATS = ("date", "date-time", "time", "uuid", "email", "uri")
_READERS = {name: re.compile(PATTERNS[name]) for name in _FORMATS}
MAX_DEPTH = 32


def infer_schema(example: object) -> dict[str, Any]:
    """The schema of a JSON value (dict, list, str, int, float, bool, None)."""
    return _of_all([example], 0)


def _of_all(values: list[Any], depth: int) -> dict[str, Any]:
    """One schema for all of `values`."""
    if depth > MAX_DEPTH:
        return {}
    kinds: dict[str, list[Any]] = {}
    for value in values:
        kinds.setdefault(type_of(value), []).append(value)
    if "integer" in kinds and "number" in kinds:
        kinds["number"] += kinds.pop("integer")
    found = [_of_kind(kind, of_it, depth) for kind, of_it in kinds.items() if kind != "null"]
    nullable = "null" in kinds
    if len(found) == 1 and not nullable:
        return found[0]
    if len(found) == 1 and set(found[0]) == {"type"}:
        return {"type": [found[0]["type"], "null"]}
    branches = found + ([{"type": "null"}] if nullable else [])
    return branches[0] if len(branches) == 1 else {"anyOf": branches} if branches else {}


def _of_kind(kind: str, values: list[Any], depth: int) -> dict[str, Any]:
    if kind == "object":
        return _of_objects(values, depth)
    if kind == "array":
        items = [item for value in values for item in value]
        return {"type": "array", "items": _of_all(items, depth + 1)} if items else {"type": "array"}
    if kind == "string":
        named = next((n for n in _FORMATS if all(map(_READERS[n].fullmatch, values))), None)
        return {"type": "string", "format": named} if named else {"type": "string"}
    return {"type": kind}


def _of_objects(values: list[dict[str, Any]], depth: int) -> dict[str, Any]:
    names = dict.fromkeys(name for value in values for name in value)
    return {
        "type": "object",
        "properties": {
            name: _of_all([value[name] for value in values if name in value], depth + 1)
            for name in names
        },
        "required": [name for name in names if all(name in value for value in values)],
        "additionalProperties": False,
    }


def type_of(value: Any) -> str:
    """The JSON type; a number without a fraction is an integer, as in JSON Schema."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() and abs(value) < 2**53 else "number"
        case str():
            return "string"
        case list() | tuple():
            return "array"
        case dict():
            return "object"
    raise TypeError(f"{type(value).__name__} is not a JSON value")
