"""JSON answers: response_format, parsed models, schemas that cannot be held, answers that fail."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from qwen_webui.engines.scripted import Script
from qwen_webui.types import Constraint
from tests.api.conftest import Served
from tests.api.openai.clients import HELLO, chat, chunks_of, client_of
from tests.api.openai.strict import ChatCompletion, strictly
from tests.api.test_generate import told

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
ADA = Script(words=('{"name": "Ada", "age": 36}',))


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def format_of(schema: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "p", "schema": schema, **fields}}


@pytest.mark.parametrize("strict", [True, False, None])
async def test_a_schema(served: Served, strict: bool | None) -> None:
    served.loader.script = ADA
    asked = format_of(SCHEMA, strict=strict, description="A person")
    body = (await chat(served, response_format=asked)).json()
    content = strictly(ChatCompletion, body).choices[0].message.content
    assert json.loads(content or "") == {"name": "Ada", "age": 36}
    sampling = served.loader.requests[-1].sampling
    assert sampling.constraint is not None and sampling.constraint.kind == "json_schema"
    assert json.loads(sampling.constraint.value) == SCHEMA | {"description": "A person"}
    chunks = chunks_of(await chat(served, response_format=asked, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == content


async def test_any_object(served: Served) -> None:
    served.loader.script = ADA
    assert (await chat(served, response_format={"type": "json_object"})).status_code == 200
    constraint = served.loader.requests[-1].sampling.constraint
    assert constraint is not None and constraint.kind == "json_object"


async def test_the_client_parses(served: Served) -> None:
    served.loader.script = ADA
    async with client_of(served) as client:
        answer = await client.chat.completions.parse(
            model="one", messages=HELLO, response_format=Person
        )
        assert answer.choices[0].message.parsed == Person(name="Ada", age=36)
        stream = client.chat.completions.stream(model="one", messages=HELLO, response_format=Person)
        async with stream as events:
            final = await events.get_final_completion()
    assert final.choices[0].message.parsed == Person(name="Ada", age=36)


async def test_an_answer_that_does_not_validate_is_no_answer(served: Served) -> None:
    served.loader.script = Script(words=('{"name": "Ada"}',))
    response = await chat(served, response_format=format_of(SCHEMA))
    assert (response.status_code, told(response)["code"]) == (500, "invalid_output")
    stream = await chat(served, response_format=format_of(SCHEMA), stream=True)
    assert '"code":"invalid_output"' in stream.text and "[DONE]" not in stream.text
    assert '"finish_reason":"stop"' not in stream.text


async def test_a_schema_that_cannot_be_held(served: Served) -> None:
    """reliability line 43"""
    before = len(served.loader.requests)
    for schema, code in (
        ({"type": "nonsense"}, "schema_invalid"),
        ({"$ref": "https://example.org/schema.json"}, "schema_unsupported"),
        ({"enum": [str(n) for n in range(100_000)]}, "schema_too_large"),
    ):
        response = await chat(served, response_format=format_of(schema))
        assert (response.status_code, told(response)["code"]) == (400, code), response.text
    assert len(served.loader.requests) == before


async def test_a_budget_that_is_too_small(served: Served) -> None:
    served.loader.script = ADA
    async with client_of(served) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(
                model="one",
                messages=HELLO,
                response_format=format_of(SCHEMA),  # type: ignore[arg-type]
                max_completion_tokens=2,
            )
    assert (caught.value.code, caught.value.param) == ("budget_too_small", "max_completion_tokens")


async def test_generate_has_the_same_forms(served: Served) -> None:
    served.loader.script = ADA
    assert (await served.generate("Ada is 36.", schema=SCHEMA)).status_code == 200
    for fields, kind, words in (
        ({"schema": SCHEMA}, "json_schema", '{"name": "A", "age": 1}'),
        ({"regex": "[0-9]+"}, "regex", "42"),
        ({"choices": ["yes", "no"]}, "choice", "no"),
    ):
        served.loader.script = Script(words=(words,))
        response = await served.generate("Well?", **fields)
        assert response.json()["text"] == words
        constraint = served.loader.requests[-1].sampling.constraint
        assert constraint is not None and constraint.kind == kind
    served.loader.script = Script(words=("perhaps",))
    response = await served.generate("Well?", choices=["yes", "no"])
    assert (response.status_code, told(response)["code"]) == (500, "invalid_output")
    response = await served.generate("Well?", choices=["yes"], regex="a")
    assert (response.status_code, told(response)["param"]) == (422, "schema")
    response = await served.generate("Well?", schema={"type": "nonsense"})
    assert (response.status_code, told(response)["code"]) == (422, "schema_invalid")


@pytest.mark.parametrize("path", ["chat/completions", "completions"])
async def test_forms_that_openai_has_no_name_for(served: Served, path: str) -> None:
    asked = {"messages": HELLO} if path.startswith("chat") else {"prompt": "Well?"}
    for form, constraint, words in (
        (
            {"json": SCHEMA},
            Constraint("json_schema", json.dumps(SCHEMA)),
            '{"name": "A", "age": 1}',
        ),
        ({"json_object": True}, Constraint("json_object"), "{}"),
        ({"regex": "[0-9]+"}, Constraint("regex", "[0-9]+"), "42"),
        ({"choice": ["yes", "no"]}, Constraint("choice", '["yes", "no"]'), "no"),
    ):
        served.loader.script = Script(words=(words,))
        body = asked | {"structured_outputs": form, "max_tokens": 64}
        response = await served.client.post(f"/v1/{path}", json=body)
        assert response.status_code == 200, response.text
        assert served.loader.requests[-1].sampling.constraint == constraint


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"structured_outputs": {}}, "structured_outputs"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs"),
        ({"structured_outputs": {"grammar": "root ::= x"}}, "structured_outputs.grammar"),
        (
            {"structured_outputs": {"regex": "a"}, "response_format": {"type": "json_object"}},
            "structured_outputs",
        ),
    ],
)
async def test_forms_that_contradict_each_other(
    served: Served, fields: dict[str, Any], param: str
) -> None:
    response = await chat(served, **fields)
    assert (response.status_code, told(response)["param"]) == (400, param)
    assert [request.id for request in served.loader.requests] == ["smoke"]


async def test_schemas_are_checked_and_inferred(served: Served) -> None:
    post = served.client.post
    body = (await post("/api/structured/check", json={"schema": SCHEMA})).json()
    assert body == {"valid": True, "problems": []}
    bad = {"type": "object", "properties": {"a": {"type": "nonsense"}}}
    body = (await post("/api/structured/check", json={"schema": bad})).json()
    assert body["valid"] is False and set(body["problems"][0]) == {"place", "message", "code"}
    assert body["problems"][0]["place"].startswith("#/properties/a")
    body = (await post("/api/structured/infer", json={"example": {"name": "A", "age": 1}})).json()
    assert body == {"schema": SCHEMA}
    response = await post("/api/structured/infer", json={"sample": 1})
    assert (response.status_code, told(response)["param"]) == (422, "example")
