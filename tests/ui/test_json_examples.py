"""The worked examples: every field checked, every schema one that can be held, with a short end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import qwen_webui
from qwen_webui.errors import GenerationFailed, SettingsError
from qwen_webui.examples import Example, load_examples, read_example
from qwen_webui.structured import Structured
from qwen_webui.types import Constraint

DEMO = Path(qwen_webui.__file__).parent / "demo" / "demo-fp16"
EXAMPLES = load_examples()
BY_ID = {example.id: example for example in EXAMPLES}
# A valid answer of each, and what must not be valid: a schema that takes everything fails here.
ANSWERS = {
    "person": ({"name": "a", "town": "b", "age": 34}, {"name": "a", "town": "b", "age": 340}),
    "registration": ({"username": "mira", "email": "mira@marlow.example"}, {"username": "mi"}),
    "invoice": (
        {
            **{"number": "1", "date": "2026-03-03", "seller": "a", "buyer": "b"},
            **{"currency": "EUR", "tax_percent": 19},
            "lines": [{"description": "x", "quantity": 1, "unit_price": "0.50"}],
        },
        {"number": "1", "date": "3 March"},
    ),
    "resume": (
        {
            **{"name": "a", "profession": "b", "town": "c"},
            "work": [{"employer": "d", "position": "e", "from": 2016, "to": None}],
            **{"education": [], "languages": [], "skills": []},
        },
        {"name": "a"},
    ),
    "event": (
        {
            **{"title": "a", "start": "2026-06-12T19:30:00Z", "end": "2026-06-12T21:00:00Z"},
            **{"place": "b", "attendees": [], "notes": None},
        },
        {"title": "a", "start": "tonight"},
    ),
    "product": (
        {
            **{"sku": "TL-120", "name": "a", "summary": "b", "in_stock": True, "stock": 12},
            **{"price": {"amount": "120.00", "currency": "EUR"}, "tags": ["brass"]},
        },
        {"sku": "tl 120"},
    ),
    "sql-table": (
        {
            "table": "ships",
            "columns": [{"name": "name", "type": "TEXT", "nullable": False}],
            "primary_key": ["name"],
        },
        {"table": "ships; drop", "columns": [], "primary_key": []},
    ),
    "translations": (
        [{"chinese": "灯", "english": "lamp", "german": "Lampe", "part_of_speech": "noun"}],
        [],
    ),
    "openapi-operation": (
        {
            **{"method": "get", "path": "/ships/{id}", "operationId": "getShip", "summary": "a"},
            "parameters": [
                {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
            ],
            "responses": {"200": {"description": "a"}, "404": {"description": "b"}},
        },
        {"method": "fetch"},
    ),
    "minutes": (
        {
            **{"meeting": "a", "date": "2026-05-04", "present": [], "decisions": []},
            "tasks": [{"who": "a", "what": "b", "until": None}],
        },
        {"meeting": "a", "date": "May"},
    ),
    "sentiment": (
        {
            **{"sentiment": "mixed", "score": 3, "reason": "a"},
            "about": [{"topic": "delivery", "sentiment": "negative"}],
        },
        {"sentiment": "fine"},
    ),
}


@pytest.fixture
async def structured() -> AsyncIterator[Structured]:
    found = Structured()
    yield found
    await found.close()


def test_there_are_those_that_the_guide_asks_for() -> None:
    wanted = ["registration", "invoice", "resume", "event", "product", "sql-table"]
    assert [example.id for example in EXAMPLES][:9] == [
        "person",
        *wanted,
        "translations",
        "openapi-operation",
    ]
    assert set(BY_ID) == set(ANSWERS)
    assert len({example.order for example in EXAMPLES}) == len(EXAMPLES)


def test_the_guides_registration_is_as_it_is_there() -> None:
    schema = json.loads(BY_ID["registration"].schema)
    properties = schema["properties"]
    assert properties["username"]["minLength"] == 3
    assert properties["email"]["format"] == "email"
    assert properties["password"]["minLength"] == 8
    assert schema["required"] == ["username", "email"]


async def test_every_example_can_be_held_and_checked(structured: Structured) -> None:
    for example in EXAMPLES:
        assert await structured.inspect(example.schema) == (), example.id
        constraint = Constraint("json_schema", example.schema)
        prepared = await structured.prepare(constraint, DEMO)
        assert prepared.needed_tokens is not None, example.id
        assert prepared.needed_tokens <= 1024, example.id
        good, bad = ANSWERS[example.id]
        await structured.check(constraint, json.dumps(good))
        with pytest.raises(GenerationFailed, match="not valid"):
            await structured.check(constraint, json.dumps(bad))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.id)
def test_both_languages_are_there(example: Example) -> None:
    for texts in (example.title, example.description, example.prompt):
        assert texts.en.isascii() or example.id == "resume"
        assert any("\u4e00" <= letter <= "\u9fff" for letter in texts.zh)


GOOD = """
id = "a"
order = 1
title = {en = "A", zh = "甲"}
description = {en = "A", zh = "甲"}
prompt = {en = "A", zh = "甲"}
schema = {text = '{"type": "object"}'}
"""
WRONG = [
    ('id = "a"', 'id = "A b"', "id must be 1 to 40"),
    ("order = 1", "order = true", "order must be a whole number"),
    ('title = {en = "A", zh = "甲"}', 'title = {en = "A"}', "title must be a table"),
    (
        'prompt = {en = "A", zh = "甲"}',
        'prompt = {en = " ", zh = "甲"}',
        r"prompt\.en must be text",
    ),
    ('{"type": "object"}', '{"type": ', r"schema\.text is not valid JSON"),
    ('{"type": "object"}', "[]", r"schema\.text must be a JSON object"),
    ("schema = {", "scheme = {", "scheme is not known"),
    ("schema = {", "schema = [", "not valid TOML"),
]


@pytest.mark.parametrize(("old", "new", "sentence"), WRONG)
def test_a_mistake_is_a_sentence_with_file_and_field(old: str, new: str, sentence: str) -> None:
    assert read_example("a.toml", GOOD).schema == '{"type": "object"}'
    assert old in GOOD
    with pytest.raises(SettingsError, match=rf"Example file a\.toml: .*{sentence}"):
        read_example("a.toml", GOOD.replace(old, new))
