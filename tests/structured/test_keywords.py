"""Every keyword of JSON Schema 2020-12, and what is said to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer

from qwen_webui.structured.rewrite import OPTIONS
from qwen_webui.structured.walk import problems_of

# An example of each keyword in a schema, and where the refusal points; None: it is held.
TABLE: dict[str, tuple[dict[str, Any], str | None]] = {
    "type": ({"type": "string"}, None),
    "type, a list": ({"type": ["string", "null"]}, None),
    "enum": ({"enum": ["a", 1, None]}, None),
    "const": ({"const": {"a": 1}}, None),
    "multipleOf": ({"type": "integer", "multipleOf": 3}, None),
    "multipleOf of a half": ({"type": "number", "multipleOf": 0.5}, None),
    "multipleOf of a hundredth": ({"type": "number", "multipleOf": 0.01}, "#/multipleOf"),
    "minimum": ({"type": "number", "minimum": 1}, None),
    "maximum": ({"type": "number", "maximum": 1}, None),
    "exclusiveMinimum": ({"type": "number", "exclusiveMinimum": 1}, None),
    "exclusiveMaximum": ({"type": "number", "exclusiveMaximum": 1}, None),
    "minLength": ({"type": "string", "minLength": 1}, None),
    "maxLength": ({"type": "string", "maxLength": 1}, None),
    "pattern": ({"type": "string", "pattern": "^a+$"}, None),
    "format": ({"type": "string", "format": "date"}, None),
    "format, unknown": ({"type": "string", "format": "credit-card"}, "#/format"),
    "format regex": ({"type": "string", "format": "regex"}, "#/format"),
    "format uri-template": ({"type": "string", "format": "uri-template"}, "#/format"),
    "items": ({"type": "array", "items": {"type": "null"}}, None),
    "prefixItems": ({"type": "array", "prefixItems": [{"type": "null"}]}, None),
    "minItems": ({"type": "array", "minItems": 1}, None),
    "maxItems": ({"type": "array", "maxItems": 1}, None),
    "uniqueItems": ({"type": "array", "uniqueItems": True}, "#/uniqueItems"),
    "uniqueItems of texts": (
        {"type": "array", "uniqueItems": True, "items": {"type": "string"}},
        "#/uniqueItems",
    ),
    "uniqueItems of lists": (
        {"type": "array", "uniqueItems": True, "items": {"enum": [[1], [1.0]]}},
        "#/uniqueItems",
    ),
    "uniqueItems of many": (
        {"type": "array", "uniqueItems": True, "items": {"enum": list(range(11))}},
        "#/uniqueItems",
    ),
    "uniqueItems of few": (
        {"type": "array", "uniqueItems": True, "items": {"enum": list(range(10))}},
        None,
    ),
    "uniqueItems false": ({"type": "array", "uniqueItems": False}, None),
    "contains": ({"type": "array", "contains": {"type": "null"}}, "#/contains"),
    "minContains": ({"type": "array", "minContains": 1}, "#/minContains"),
    "maxContains": ({"type": "array", "maxContains": 1}, "#/maxContains"),
    "unevaluatedItems": ({"type": "array", "unevaluatedItems": False}, "#/unevaluatedItems"),
    "properties": ({"type": "object", "properties": {"a": {"type": "null"}}}, None),
    "patternProperties": ({"type": "object", "patternProperties": {"^a": {}}}, None),
    "additionalProperties": ({"type": "object", "additionalProperties": {"type": "null"}}, None),
    "propertyNames": ({"type": "object", "propertyNames": {"pattern": "^a"}}, None),
    "propertyNames by length": (
        {"type": "object", "propertyNames": {"maxLength": 3}},
        "#/propertyNames",
    ),
    "required": ({"type": "object", "required": ["a"]}, None),
    "minProperties": ({"type": "object", "minProperties": 1}, None),
    "maxProperties": ({"type": "object", "maxProperties": 1}, None),
    "minProperties beside optional properties": (
        {"type": "object", "properties": {"a": {}, "b": {}}, "minProperties": 1},
        "#/minProperties",
    ),
    "dependentRequired": ({"type": "object", "dependentRequired": {}}, "#/dependentRequired"),
    "dependentSchemas": ({"type": "object", "dependentSchemas": {}}, "#/dependentSchemas"),
    "dependencies": ({"type": "object", "dependencies": {}}, "#/dependencies"),
    "unevaluatedProperties": (
        {"type": "object", "unevaluatedProperties": False},
        "#/unevaluatedProperties",
    ),
    "allOf": ({"allOf": [{"type": "string"}, {"minLength": 1}]}, None),
    "anyOf": ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None),
    "oneOf, apart by type": ({"oneOf": [{"type": "string"}, {"type": "null"}]}, None),
    "oneOf, overlapping": ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, "#/oneOf"),
    "not": ({"type": "object", "properties": {"a/b": {"not": {}}}}, "#/properties/a~1b/not"),
    "if": ({"if": {}, "type": "string"}, "#/if"),
    "then": ({"then": {}}, "#/then"),
    "else": ({"else": {}}, "#/else"),
    "$ref": ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}}}, None),
    "$ref elsewhere": ({"$ref": "https://example.org/a"}, "#/$ref"),
    "$ref to a file": ({"$ref": "a.json#/x"}, "#/$ref"),
    "$ref to nothing": ({"$ref": "#/$defs/a"}, "#/$ref"),
    "$ref without end": (
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        "#/properties/a/$ref",
    ),
    "$dynamicRef": ({"$dynamicRef": "#a"}, "#/$dynamicRef"),
    "$dynamicAnchor": ({"$dynamicAnchor": "a"}, "#/$dynamicAnchor"),
    "$recursiveRef": ({"$recursiveRef": "#"}, "#/$recursiveRef"),
    "$anchor": ({"$anchor": "a"}, "#/$anchor"),
    "$id": ({"$id": "https://example.org/a"}, "#/$id"),
    "$vocabulary": ({"$vocabulary": {}}, "#/$vocabulary"),
    "$schema": ({"$schema": "https://json-schema.org/draft/2020-12/schema"}, None),
    "$schema elsewhere": ({"$schema": "https://example.org/"}, "#/$schema"),
    "contentEncoding": ({"type": "string", "contentEncoding": "base64"}, "#/contentEncoding"),
    "contentMediaType": ({"contentMediaType": "text/html"}, "#/contentMediaType"),
    "contentSchema": ({"contentSchema": {}}, "#/contentSchema"),
    "nullable": ({"type": "string", "nullable": True}, "#/nullable"),
    "x-guidance": ({"type": "string", "x-guidance": {"lenient": True}}, "#/x-guidance"),
    "a misspelt keyword": ({"type": "string", "maxlength": 3}, "#/maxlength"),
    "notes": (
        {
            **{"title": "t", "description": "d", "default": 1, "examples": [1], "$comment": "c"},
            **{"deprecated": True, "readOnly": True, "writeOnly": False, "x-order": 1},
        },
        None,
    ),
    "an empty enum": ({"enum": []}, "#/enum"),
    "a wrong type": ({"type": "strnig"}, "#/type"),
    "minLength below 0": ({"type": "string", "minLength": -1}, "#/minLength"),
    "minLength above maxLength": (
        {"type": "string", "minLength": 5, "maxLength": 3},
        "#/minLength",
    ),
    "required twice": ({"type": "object", "required": ["a", "a"]}, "#/required"),
    "properties as a list": ({"properties": ["a"]}, "#/properties"),
    "a control character": ({"const": "\x01"}, "#/const"),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_keyword_is_held_or_refused_by_name_and_place(name: str) -> None:
    schema, place = TABLE[name]
    found = problems_of(schema)
    assert [problem.place for problem in found] == ([] if place is None else [place])
    for problem in found:
        assert f"`{place.rsplit('/', 1)[-1]}`" in problem.sentence  # type: ignore[union-attr]
        assert problem.sentence.endswith(".")


def test_what_the_engine_does_not_hold_is_refused_before_it_is_asked() -> None:
    """Fails when another version of the engine drops a keyword that ours lets through."""
    byte = LLTokenizer("byte")
    for name, (schema, place) in TABLE.items():
        text = LLMatcher.grammar_from_json_schema(json.dumps({**schema, "x-guidance": OPTIONS}))
        _, said = LLMatcher.validate_grammar_with_warnings(text, byte)
        unknown = any("nimplemented" in line or "Unknown" in line for line in said)
        known_by_name = name.startswith(("propertyNames", "format", "uniqueItems"))
        assert not unknown or place is not None or known_by_name, f"{name}: {said}"


def test_all_problems_are_told_at_once_in_their_order() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "pattern": "(a+)+$"},
            "b": {"type": "array", "items": {"not": {}, "if": {}}},
        },
        "dependentRequired": {},
    }
    assert [problem.place for problem in problems_of(schema)] == [
        "#/dependentRequired",
        "#/properties/a/pattern",
        "#/properties/b/items/not",
        "#/properties/b/items/if",
    ]


def test_branches_of_one_of_are_told_apart_by_a_required_constant() -> None:
    def branch(kind: str, **more: Any) -> dict[str, Any]:
        return {"type": "object", "properties": {"kind": {"const": kind}}, **more}

    apart = [branch(kind, required=["kind"]) for kind in "abc"]
    assert problems_of({"oneOf": apart}) == []
    assert problems_of({"oneOf": [*apart, branch("d")]})[0].place == "#/oneOf"
    assert problems_of({"oneOf": [*apart, branch("a", required=["kind"])]})[0].place == "#/oneOf"
    assert problems_of({"oneOf": [{"const": 1}, {"const": True}]}) == []
    assert problems_of({"oneOf": [{"const": 1}, {"const": 1.0}]})[0].place == "#/oneOf"
