"""References that never come to an end: `{"$ref": "#"}`, or a list's node that must have a next.

A definition ends when some value of it is finite. What never ends is refused even where it is
optional: an answer that begins it could not be finished.
"""

from __future__ import annotations

from typing import Any

from qwen_webui.structured.references import parts, resolve
from qwen_webui.structured.values import step

_CONTAINERS = {"object", "array"}


def endless(root: dict[str, Any]) -> str | None:
    """The place of a reference that never comes to an end, or None."""
    targets = _references(root)
    ending: set[str] = set()
    rest = dict(targets)
    while rest:
        # Both ways round, because either order can be the slow one for a long chain.
        before = len(rest)
        for names in (list(rest), list(reversed(rest))):
            for name in names:
                if name in rest and _ends(resolve(name, root)[0], ending):
                    ending.add(name)
                    del rest[name]
        if len(rest) == before:
            return next(iter(rest.values()))
    return None


def _references(root: dict[str, Any]) -> dict[str, str]:
    """Every reference with the last place it stands in."""
    found: dict[str, str] = {}
    open_places: list[tuple[Any, str]] = [(root, "#")]
    while open_places:
        schema, place = open_places.pop()
        if isinstance(schema, dict):
            if "$ref" in schema:
                found[schema["$ref"]] = step(place, "$ref")
            open_places += parts(schema, place)
    return found


def _ends(schema: Any, ending: set[str]) -> bool:
    """Whether a finite value exists if the references in `ending` have one."""
    if isinstance(schema, bool):
        return True
    if "$ref" in schema and schema["$ref"] not in ending:
        return False
    if not all(_ends(item, ending) for item in schema.get("allOf", ())):
        return False
    for name in ("anyOf", "oneOf"):
        if name in schema and not any(_ends(item, ending) for item in schema[name]):
            return False
    if "enum" in schema or "const" in schema or "type" not in schema:
        return True
    types = schema["type"]
    listed = {types} if isinstance(types, str) else set(types)
    if listed - _CONTAINERS:
        return True
    return ("object" in listed and _object_ends(schema, ending)) or (
        "array" in listed and _array_ends(schema, ending)
    )


def _object_ends(schema: dict[str, Any], ending: set[str]) -> bool:
    named = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    required = schema.get("required", ())
    if not all(_ends(named.get(name, others), ending) for name in required):
        return False
    if schema.get("minProperties", 0) <= len(required):
        return True
    return any(_ends(item, ending) for item in (*named.values(), others))


def _array_ends(schema: dict[str, Any], ending: set[str]) -> bool:
    least = int(schema.get("minItems", 0))
    first = schema.get("prefixItems", [])[:least]
    if not all(_ends(item, ending) for item in first):
        return False
    return len(first) >= least or _ends(schema.get("items", True), ending)
