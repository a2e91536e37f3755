"""A schema from an example, and what a model is told of a constraint."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qwen_webui.errors import SchemaRefused
from qwen_webui.structured import infer_schema, instruction, schema_of
from qwen_webui.structured.validating import check
from qwen_webui.structured.walk import problems_of
from qwen_webui.types import Constraint
from tests.structured.walks import json_schema


def closed(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }


TEXT = {"type": "string"}
WHOLE = {"type": "integer"}


@pytest.mark.parametrize(
    ("example", "schema"),
    [
        (None, {"type": "null"}),
        (True, {"type": "boolean"}),
        (3, WHOLE),
        (3.0, WHOLE),
        (3.5, {"type": "number"}),
        ("text", TEXT),
        ("2026-11-23", {"type": "string", "format": "date"}),
        ("2026-11-23T10:00:00Z", {"type": "string", "format": "date-time"}),
        ("10:00:00Z", {"type": "string", "format": "time"}),
        ("a@example.org", {"type": "string", "format": "email"}),
        ("https://example.org/a", {"type": "string", "format": "uri"}),
        (
            "123e4567-e89b-12d3-a456-426614174000",
            {"type": "string", "format": "uuid"},
        ),
        ([], {"type": "array"}),
        ([1, 2.5], {"type": "array", "items": {"type": "number"}}),
        ([1, None], {"type": "array", "items": {"type": ["integer", "null"]}}),
        ([1, "a"], {"type": "array", "items": {"anyOf": [WHOLE, TEXT]}}),
        (["2026-11-23", "later"], {"type": "array", "items": TEXT}),
        ({"a": 1, "b": {"c": "x"}}, closed({"a": WHOLE, "b": closed({"c": TEXT})})),
        (
            [{"a": 1}, {"a": 2, "b": None}, {"a": 3, "b": {"c": 1}}],
            {
                "type": "array",
                "items": closed(
                    {"a": WHOLE, "b": {"anyOf": [closed({"c": WHOLE}), {"type": "null"}]}}, ["a"]
                ),
            },
        ),
    ],
)
def test_a_schema_is_inferred_that_holds_for_its_example(example: Any, schema: Any) -> None:
    found = infer_schema(example)
    assert found == schema
    assert problems_of(found) == []
    check(json_schema(found), json.dumps(example))


def test_a_value_that_is_not_json_is_an_error() -> None:
    with pytest.raises(TypeError, match="set"):
        infer_schema({"a": {1}})


def test_the_model_is_told_what_to_write() -> None:
    schema = {"type": "object", "description": "né", "properties": {"a": {"type": "null"}}}
    told = instruction(json_schema(schema))
    assert json.dumps(schema, ensure_ascii=False) in told and "JSON" in told
    assert "JSON object" in instruction(Constraint("json_object"))
    assert '["ja", "nei"]' in instruction(Constraint("choice", '["ja", "nei"]'))
    assert instruction(Constraint("regex", "a+")) == ""


def test_the_schema_of_an_answer_is_the_one_that_was_asked_for() -> None:
    assert schema_of(json_schema({"oneOf": [{"type": "null"}]})) == {"oneOf": [{"type": "null"}]}
    assert schema_of(Constraint("json_object")) == {"type": "object"}
    assert schema_of(Constraint("regex", "a")) is None
    with pytest.raises(SchemaRefused):
        schema_of(json_schema({"not": {}}))
