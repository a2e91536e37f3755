"""JSON Schema 2020-12's keywords: what each must hold, and what is said of those refused.

A keyword that stands in no table here is refused too: nothing of a schema is ignored unless it is
a note to readers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

# Notes to readers: they change nothing about which values are valid.
NOTES = frozenset(
    {
        "title",
        "description",
        "default",
        "examples",
        "example",
        "$comment",
        "deprecated",
        "readOnly",
        "writeOnly",
        "$schema",
        # Says which property tells the branches of a oneOf apart; the branches say it themselves.
        "discriminator",
    }
)
ONE = frozenset({"items", "additionalProperties", "propertyNames"})
MANY = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions"})
DIALECTS = ("http://json-schema.org/", "https://json-schema.org/")
TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")

_LIST_INSTEAD = "Remove it and check the finished list yourself."
_SPLIT = "Write the cases as `anyOf` with a `const` property each, or remove it."
_REWRITE = "Rewrite it with `properties`, `required` and `additionalProperties`."
REFUSED: dict[str, str] = {
    "not": "Say what is allowed instead (`enum`, `pattern`, `anyOf`).",
    "if": _SPLIT,
    "then": _SPLIT,
    "else": _SPLIT,
    "contains": _LIST_INSTEAD,
    "minContains": _LIST_INSTEAD,
    "maxContains": _LIST_INSTEAD,
    "dependentRequired": _SPLIT,
    "dependentSchemas": _SPLIT,
    "dependencies": _SPLIT,
    "unevaluatedItems": "Use `items: false` after `prefixItems`.",
    "unevaluatedProperties": "Use `additionalProperties`.",
    "additionalItems": "Use `prefixItems` and `items`.",
    "$dynamicRef": "Use `$ref` to `#/$defs/...`.",
    "$dynamicAnchor": "Use `$ref` to `#/$defs/...`.",
    "$recursiveRef": "Use `$ref` to `#/$defs/...`.",
    "$recursiveAnchor": "Use `$ref` to `#/$defs/...`.",
    "$anchor": "Use `$ref` to `#/$defs/...`.",
    "$id": "Remove it; references are looked up in this schema only.",
    "id": "Remove it; references are looked up in this schema only.",
    "$vocabulary": "Remove it; the vocabulary is that of JSON Schema 2020-12.",
    "contentEncoding": "Use a `pattern` for the encoded text.",
    "contentMediaType": "Remove it and read the text in it yourself.",
    "contentSchema": "Put the schema in the place of the string.",
    "nullable": 'Write `"type": ["string", "null"]` or `anyOf` with `{"type": "null"}`.',
}


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _count(value: Any) -> bool:
    return _number(value) and value >= 0 and value == int(value)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value)) and len(set(value)) == len(value)


def _types(value: Any) -> bool:
    listed = value if isinstance(value, list) else [value]
    return bool(listed) and all(isinstance(item, str) and item in TYPES for item in listed)


def _schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _schemas(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_schema, value))


def _named(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_schema, value.values()))


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


# What a keyword's value must be: a test, and the words for it.
VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "type": (_types, f"one of {', '.join(TYPES)}, or a list of them"),
    "enum": (lambda value: isinstance(value, list) and bool(value), "a list of at least one value"),
    "const": (lambda value: True, "a value"),
    "multipleOf": (lambda value: _number(value) and value > 0, "a number above 0"),
    "minimum": (_number, "a number"),
    "maximum": (_number, "a number"),
    "exclusiveMinimum": (_number, "a number"),
    "exclusiveMaximum": (_number, "a number"),
    "minLength": (_count, "a whole number of at least 0"),
    "maxLength": (_count, "a whole number of at least 0"),
    "minItems": (_count, "a whole number of at least 0"),
    "maxItems": (_count, "a whole number of at least 0"),
    "minProperties": (_count, "a whole number of at least 0"),
    "maxProperties": (_count, "a whole number of at least 0"),
    "uniqueItems": (_flag, "true or false"),
    "pattern": (_text, "a regular expression as text"),
    "format": (_text, "the name of a format"),
    "required": (_names, "a list of different names"),
    "$ref": (_text, "a reference like #/$defs/name"),
    "items": (_schema, "a schema"),
    "additionalProperties": (_schema, "a schema, true or false"),
    "propertyNames": (_schema, "a schema"),
    "allOf": (_schemas, "a list of schemas"),
    "anyOf": (_schemas, "a list of schemas"),
    "oneOf": (_schemas, "a list of schemas"),
    "prefixItems": (_schemas, "a list of schemas"),
    "properties": (_named, "an object of schemas"),
    "patternProperties": (_named, "an object of schemas"),
    "$defs": (_named, "an object of schemas"),
    "definitions": (_named, "an object of schemas"),
}
