"""What a grammar lets through always passes the final check, whatever the model writes."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
from llguidance import LLMatcher

from qwen_webui.errors import GenerationFailed
from qwen_webui.structured import grammar
from qwen_webui.structured.compiling import limits
from qwen_webui.structured.reading import read_strict
from qwen_webui.structured.validating import check
from qwen_webui.types import Constraint
from tests.structured.models import MODELS, Order
from tests.structured.schemas import HELD
from tests.structured.walks import Walker, json_schema


@pytest.fixture(scope="module")
def walker() -> Walker:
    return Walker()


def accepts(walker: Walker, constraint: Constraint, text: str) -> bool:
    matcher = LLMatcher(walker.vocabulary, grammar(constraint), log_level=0, limits=limits())
    tokens = [t for byte in text.encode() for t in walker.alphabet.spelled([byte])]
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


@pytest.mark.parametrize("name", HELD)
def test_random_answers_are_valid(walker: Walker, name: str) -> None:
    constraint = json_schema(HELD[name])
    for text in walker.answers(constraint, 4):
        check(constraint, text)


def test_neighbours_of_a_bound_with_many_digits_are_not_let_through(walker: Walker) -> None:
    constraint = json_schema(HELD["fl6"])
    assert accepts(walker, constraint, "10.5") and accepts(walker, constraint, "11.8099999999999")
    for text in ("11.81", "11.8099999999999999", "11.9"):
        assert not accepts(walker, constraint, text)


def test_what_is_written_of_lists_without_repetition(walker: Walker) -> None:
    colours = {"type": "array", "uniqueItems": True, "items": {"enum": ["red", "green", "blue"]}}
    constraint = json_schema(colours | {"minItems": 1})
    for text in ('["red"]', '["red", "blue"]', '["red", "green", "blue"]'):
        assert accepts(walker, constraint, text)
    for text in ("[]", '["red", "red"]', '["green", "blue", "green"]', '["grey"]'):
        assert not accepts(walker, constraint, text)


def test_an_object_that_names_no_properties_has_none(walker: Walker) -> None:
    """As one that names some has no others: pydantic's empty models, tools without arguments."""
    empty = json_schema({"type": "object", "properties": {}})
    assert accepts(walker, empty, "{}") and not accepts(walker, empty, '{"a": 1}')
    opened = json_schema({"type": "object", "properties": {}, "additionalProperties": True})
    assert accepts(walker, opened, '{"a": 1}')
    assert accepts(walker, json_schema({"type": "object"}), '{"a": 1}')


@pytest.mark.slow
@pytest.mark.parametrize("name", HELD)
def test_many_random_answers_are_valid(walker: Walker, name: str) -> None:
    constraint = json_schema(HELD[name])
    for text in walker.answers(constraint, 10, seed=random.randrange(10**6)):
        check(constraint, text)


@pytest.mark.parametrize("model", MODELS)
def test_a_pydantic_schema_works_as_it_is(walker: Walker, model: Any) -> None:
    constraint = json_schema(model.model_json_schema())
    answers = walker.answers(constraint, 5, most=40)
    for text in answers:
        check(constraint, text)
        if "Decimal" not in str(model.model_fields) and model.__name__ != "Invoice":
            model.model_validate_json(text)  # Decimal's schema says only: a number or a text


@pytest.mark.parametrize("kind", ["validation", "serialization"])
def test_both_schemas_of_a_decimal_work(walker: Walker, kind: Any) -> None:
    constraint = json_schema(Order.model_json_schema(mode=kind))
    for text in walker.answers(constraint, 3):
        check(constraint, text)


@pytest.mark.parametrize(
    ("rest", "good", "bad"),
    [
        (r"\d*\.?\d*$", ["1", "-0.50", "+7"], ["-", ".", "", "1e5"]),
        (r"\d*\.?\d{0,2}0*$", ["1", "-0.50"], ["0.505", ""]),
        (
            r"(?:\d{0,3}|(?=[\d.]{1,6}0*$)\d{0,3}\.\d{0,2}0*$)",
            ["1", "123.45"],
            ["1234", "1.234"],
        ),
        (r"(?:\d{0,0}|(?=[\d.]{1,3}0*$)\d{0,0}\.\d{0,2}0*$)", ["0.45"], ["1.23"]),
        (r"(?:\d{0,5}|(?=[\d.]{1,6}0*$)\d*\.\d*0*$)", ["12345", "1.2345"], ["123456"]),
    ],
)
def test_pydantics_patterns_for_decimals_are_held(
    walker: Walker, rest: str, good: list[str], bad: list[str]
) -> None:
    """As several versions of pydantic write them."""
    pattern = r"^(?!^[-+.]*$)[+-]?0*" + rest
    constraint = json_schema({"type": "string", "pattern": pattern})
    assert all(accepts(walker, constraint, f'"{text}"') for text in good)
    assert not any(accepts(walker, constraint, f'"{text}"') for text in bad)
    for text in walker.answers(constraint, 20):
        check(constraint, text)


@pytest.mark.parametrize(
    ("schema", "refused"),
    [
        ({"type": "string", "format": "time"}, '"10:00:60Z"'),
        ({"type": "string"}, '"\\ud800"'),
        ({"type": "string"}, '"\\u0000"'),
        ({"type": "string"}, '"a\tb"'),
        ({"type": "integer"}, "1.0"),
        ({"type": "integer"}, "9" * 400),
        ({"type": "number"}, "1e400"),
        ({"type": "number", "exclusiveMinimum": 0}, "0." + "0" * 400 + "1"),
        ({"type": "number", "exclusiveMaximum": 10}, "9." + "9" * 40),
        ({}, "NaN"),
        ({"type": "object", "properties": {"a": {}}}, '{"\\u0061": 1}'),
        ({"type": "object", "properties": {"a": {}}}, '{"a": 1, "a": 2}'),
        ({"type": "array"}, "[1,2]"),
        ({"type": "array"}, "[1, 2] "),
        ({"type": "string", "format": "date"}, '"2023-02-29"'),
        ({"type": "string", "pattern": "^\\D$"}, '"٣"'),
        ({"type": "string", "pattern": "^a$"}, '"a\\n"'),
    ],
)
def test_differences_between_engine_and_check_are_closed(
    walker: Walker, schema: dict[str, Any], refused: str
) -> None:
    assert not accepts(walker, json_schema(schema), refused)


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("date", "2024-02-29"),
        ("date-time", "2026-11-23T10:00:59.5+01:00"),
        ("time", "23:59:59Z"),
        ("duration", "P1Y2M3DT4H5M6S"),
        ("email", "ola.nordmann+x@post.example.no"),
        ("uri", "https://www.example.org:8080/a/b%20c?d=e&f#g"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000"),
        ("ipv4", "192.168.0.1"),
        ("ipv6", "2001:db8::1"),
        ("hostname", "mail.example.org"),
    ],
)
def test_usual_spellings_of_formats_can_be_written(walker: Walker, format: str, text: str) -> None:
    assert accepts(walker, json_schema({"type": "string", "format": format}), f'"{text}"')


def test_an_object_that_names_its_properties_gets_no_others(walker: Walker) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert accepts(walker, json_schema(schema), '{"a": 1}')
    assert not accepts(walker, json_schema(schema), '{"b": 1}')
    assert accepts(walker, json_schema({**schema, "additionalProperties": True}), '{"b": 1}')


def test_regular_expressions_and_choices(walker: Walker) -> None:
    for pattern in (r"(yes|no), [^\W\d]+\.", r"\d{3}-\D\S\w\s", r"^a|b$", "é?[^x]\n?"):
        for text in walker.answers(Constraint("regex", pattern), 20):
            assert re.fullmatch(pattern, text)
            check(Constraint("regex", pattern), text)
    choices = ['a"b\\', "\n", "naïve 😀", "a", "ab", "/x/"]
    constraint = Constraint("choice", json.dumps(choices))
    assert set(walker.answers(constraint, 60)) == set(choices)


def test_any_object(walker: Walker) -> None:
    for text in walker.answers(Constraint("json_object"), 20):
        assert isinstance(read_strict(text), dict)
        check(Constraint("json_object"), text)


@pytest.mark.parametrize(
    ("constraint", "text"),
    [
        (Constraint("json_object"), '{"a": 1, "a": 2}'),
        (Constraint("json_object"), "[]"),
        (Constraint("json_object"), '{"a": NaN}'),
        (Constraint("json_object"), '{"a": 1e400}'),
        (Constraint("json_object"), '{"a": "\\ud800"}'),
        (Constraint("json_object"), "{} {}"),
        (Constraint("json_object"), '{"a": 1'),
        (json_schema({"type": "string", "format": "date"}), '"2023-02-30"'),
        (json_schema({"type": "integer", "minimum": 3}), "2"),
        (Constraint("regex", "a+"), "aab"),
        (Constraint("choice", '["a"]'), "b"),
    ],
)
def test_the_final_check_refuses(constraint: Constraint, text: str) -> None:
    with pytest.raises(GenerationFailed) as caught:
        check(constraint, text)
    assert caught.value.code == "invalid_output"
