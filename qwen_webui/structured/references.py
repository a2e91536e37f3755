"""Schemas inside a schema, and references between them: only to its own `$defs` and
`definitions`. Nothing is ever fetched.

A reference can lead back to itself without an end: `{"$ref": "#"}`, or a list's node that must
have a next. A definition ends when some value of it is finite. What never ends is refused even
where it is optional: an answer that begins it could not be finished."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from qwen_webui.structured import keywords
from qwen_webui.structured.values import step

_HOMES = ("$defs", "definitions")
MAX_HOPS = 32
_CONTAINERS = {"object", "array"}


def resolve(reference: str, root: dict[str, Any]) -> tuple[Any, str | None]:
    """What a reference points at, or None and why it cannot be used."""
    if reference == "#":
        return root, None
    if not reference.startswith("#"):
        return None, (
            "points outside this schema; nothing is fetched. Put what it names into `$defs` and "
            "write `#/$defs/name`"
        )
    names = [
        unquote(part).replace("~1", "/").replace("~0", "~")
        for part in reference.removeprefix("#/").split("/")
    ]
    if len(names) != 2 or names[0] not in _HOMES:
        return None, "cannot be used. Write it as `#/$defs/name`"
    home = root.get(names[0])
    if not isinstance(home, dict) or names[1] not in home:
        return None, "points at nothing. Add it to `$defs` or correct the name"
    return home[names[1]], None


def followed(schema: Any, root: dict[str, Any]) -> Any:
    """A schema that is only a reference (with notes), replaced by what it points at."""
    for _ in range(MAX_HOPS):
        if not isinstance(schema, dict) or "$ref" not in schema:
            return schema
        schema = resolve(schema["$ref"], root)[0]
    return None


def parts(schema: dict[str, Any], place: str) -> Iterator[tuple[Any, str]]:
    """The schemas directly inside a schema, with their places."""
    for name, value in schema.items():
        if name in keywords.ONE and isinstance(value, dict | bool):
            yield value, step(place, name)
        elif name in keywords.MANY and isinstance(value, list):
            for number, item in enumerate(value):
                if isinstance(item, dict | bool):
                    yield item, step(step(place, name), number)
        elif name in keywords.NAMED and isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, dict | bool):
                    yield item, step(step(place, name), key)


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
