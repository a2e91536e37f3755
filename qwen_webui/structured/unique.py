"""Lists without repetition, where they can be held: those of few possible items.

A grammar cannot remember which items stand already. Where there are few, the lists themselves can
be counted out, each with its items in the schema's order: fewer lists than the schema allows, never
others. Free items (any text) cannot be held.
"""

from __future__ import annotations

import math
from itertools import chain, combinations
from typing import Any

from qwen_webui.structured import keywords
from qwen_webui.structured.exclusive import as_text
from qwen_webui.structured.infer import type_of
from qwen_webui.structured.references import followed

MOST_LISTS = 1_024  # all those of ten items
# Keywords that may stand beside `uniqueItems`, and in the schema of its items.
_ASIDE = {"$defs", "definitions", *keywords.NOTES}
_BESIDE = {"type", "uniqueItems", "items", "minItems", "maxItems", *_ASIDE}
_INSIDE = {"type", "enum", "const", *keywords.NOTES}


def unique_lists(schema: dict[str, Any], root: dict[str, Any]) -> list[list[Any]] | None:
    """Every list that may be written for a schema with `uniqueItems`; None if it cannot be held
    so. Expects each keyword to have a value of its kind."""
    if schema.get("type") != "array" or not schema.keys() <= _BESIDE:
        return None
    items = _items(followed(schema.get("items"), root))
    if items is None:
        return None
    most = min(int(schema.get("maxItems", len(items))), len(items))
    sizes = range(int(schema.get("minItems", 0)), most + 1)
    if sum(math.comb(len(items), size) for size in sizes) > MOST_LISTS:
        return None
    return [list(found) for found in chain.from_iterable(combinations(items, n) for n in sizes)]


def at_most_one(schema: dict[str, Any]) -> bool:
    """Whether lists are so short that nothing can repeat."""
    return bool(schema.get("maxItems", 2) <= 1)


def _items(schema: Any) -> list[Any] | None:
    """The different values an item may have; None if they are many, or no plain values."""
    if not isinstance(schema, dict) or not schema.keys() <= _INSIDE:
        return None
    types = schema.get("type", keywords.TYPES)
    allowed = {types} if isinstance(types, str) else set(types)
    if "number" in allowed:
        allowed.add("integer")
    if "const" in schema:
        values = [schema["const"]]
    elif "enum" in schema:
        values = schema["enum"]
    elif allowed <= {"boolean", "null"}:
        values = [True, False, None]
    else:
        return None
    if any(isinstance(value, list | dict) for value in values):
        return None
    return list({as_text(v): v for v in values if type_of(v) in allowed}.values())
