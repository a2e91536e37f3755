"""Which part of a schema is likely the one that was too costly to prepare."""

from __future__ import annotations

from typing import Any

from qwen_webui.structured.reading import read_schema_text
from qwen_webui.structured.references import parts
from qwen_webui.structured.values import MAX_NODES, Problem, step

_COUNTS = ("minItems", "minLength", "minProperties", "maxItems", "maxLength", "maxProperties")
_LISTS = ("anyOf", "oneOf", "allOf", "enum", "prefixItems", "properties", "patternProperties")
# What one character of a pattern weighs against one counted member.
_PATTERN_WEIGHT = 20
_Weight = tuple[int, str, str]


def heaviest(text: str) -> Problem | None:
    """The place with the largest counts, longest lists or longest pattern; None if there is no
    schema to look at. A guess from sizes: nothing is compiled."""
    root = read_schema_text(text)
    if not isinstance(root, dict):
        return None
    found: list[_Weight] = []
    open_places: list[tuple[Any, str]] = [(root, "#")]
    while open_places and len(found) < MAX_NODES:
        schema, place = open_places.pop()
        if isinstance(schema, dict):
            found += _weighed(schema, place)
            open_places += parts(schema, place)
    if not found:
        return None
    _, place, name = max(found)
    return Problem(
        place,
        f"The schema takes too much time or memory to prepare; its heaviest part is `{name}`. "
        "Use fewer nested alternatives, shorter patterns and smaller counts there.",
        "schema_too_large",
    )


def _weighed(schema: dict[str, Any], place: str) -> list[_Weight]:
    weights = {name: schema[name] for name in _COUNTS if isinstance(schema.get(name), int)}
    for name in _LISTS:
        if isinstance(schema.get(name), list | dict):
            weights[name] = len(schema[name])
    if isinstance(schema.get("pattern"), str):
        weights["pattern"] = _PATTERN_WEIGHT * len(schema["pattern"])
    return [(weight, step(place, name), name) for name, weight in weights.items()]
