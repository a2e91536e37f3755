"""Worked examples of the JSON tab: one TOML file each, beside this module.

Checks every field, so that a mistake is a sentence at the start. Whether a schema can be held is
structured's to say, and a test asks it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from qwen_webui.errors import SettingsError
from qwen_webui.personas import Localised

_ID = re.compile(r"[a-z0-9-]{1,40}")
_TEXTS = ("title", "description", "prompt")
_FIELDS = {"id", "order", "schema", *_TEXTS}


@dataclass(frozen=True)
class Example:
    """One example. `schema` is JSON text as it is shown in the editor; `order` its place."""

    id: str
    order: int
    title: Localised[str]
    description: Localised[str]
    prompt: Localised[str]
    schema: str


def load_examples() -> tuple[Example, ...]:
    """Every example of the program, in order. Raises SettingsError that names file and field."""
    files = (f for f in resources.files(__name__).iterdir() if f.name.endswith(".toml"))
    found = [read_example(f.name, f.read_text(encoding="utf-8")) for f in files]
    return tuple(sorted(found, key=lambda example: (example.order, example.id)))


def read_example(name: str, text: str) -> Example:
    """The example that the file `name` holds. Raises SettingsError."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _wrong(name, "the file", f"is not valid TOML: {error}") from error
    for field in content:
        if field not in _FIELDS:
            raise _wrong(name, field, f"is not known; known are {', '.join(sorted(_FIELDS))}")
    id, order = content.get("id"), content.get("order")
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise _wrong(name, "id", "must be 1 to 40 of the characters a-z, 0-9 and '-'")
    if isinstance(order, bool) or not isinstance(order, int):
        raise _wrong(name, "order", "must be a whole number, its place in the row")
    texts = {field: _localised(name, field, content.get(field)) for field in _TEXTS}
    return Example(id, order, **texts, schema=_schema(name, content.get("schema")))


def _localised(name: str, field: str, table: object) -> Localised[str]:
    if not isinstance(table, Mapping) or set(table) != {"en", "zh"}:
        raise _wrong(name, field, "must be a table with the two texts en and zh")
    for language, text in table.items():
        if not isinstance(text, str) or not text.strip():
            raise _wrong(name, f"{field}.{language}", "must be text, in quotes, and not empty")
    return Localised(table["en"].strip(), table["zh"].strip())


def _schema(name: str, table: object) -> str:
    text = table.get("text") if isinstance(table, Mapping) else None
    if not isinstance(text, str):
        raise _wrong(name, "schema.text", "must be a JSON Schema as text, in triple quotes")
    try:
        schema: Any = json.loads(text)
    except ValueError as error:
        raise _wrong(name, "schema.text", f"is not valid JSON: {error}") from error
    if not isinstance(schema, dict):
        raise _wrong(name, "schema.text", "must be a JSON object")
    return text.strip()


def _wrong(file: str, field: str, what: str) -> SettingsError:
    return SettingsError(f"Example file {file}: {field} {what}.", param="examples")
