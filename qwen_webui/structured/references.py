"""Schemas inside a schema, and references between them: only to its own `$defs` and
`definitions`. Nothing is ever fetched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from qwen_webui.structured import keywords
from qwen_webui.structured.values import step

_HOMES = ("$defs", "definitions")
MAX_HOPS = 32


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
