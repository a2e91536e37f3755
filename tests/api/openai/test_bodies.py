"""What /v1 takes and refuses: every known field answered for, nothing ignored, nothing a 500."""

from __future__ import annotations

import json
import random
from typing import Any

import openai
import pytest

from qwen_webui.api.openai.chat_body import ChatBody
from qwen_webui.api.openai.text_body import TextBody
from tests.api.conftest import Served
from tests.api.openai.clients import HELLO, chat, client_of, post
from tests.api.test_generate import told

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
OTHER = {"id": "c2", "type": "function", "function": {"name": "g", "arguments": '{"a": 1}'}}
ASKED = {"role": "assistant", "content": None, "tool_calls": [CALL, OTHER]}
RESULTS = [
    {"role": "tool", "tool_call_id": "c2", "content": "second", "name": "g"},
    {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "first"}]},
]
TOOL = {"type": "function", "function": {"name": "f"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}


def messages(*given: Any) -> dict[str, Any]:
    return {"messages": list(given)}


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"messages": []}, "invalid_value", "messages"),
    ({"messages": "Hi"}, "invalid_value", "messages"),
    (messages({"role": "root", "content": "x"}), "invalid_value", "messages[0]"),
    (messages({"content": "x"}), "invalid_value", "messages[0]"),
    (messages({"role": "user"}), "missing_required_parameter", "messages[0].content"),
    (messages({"role": "user", "content": None}), "invalid_value", "messages[0].content"),
    (messages({"role": "user", "content": 5}), "invalid_value", "messages[0].content"),
    (messages({"role": "user", "content": []}), "invalid_value", "messages[0].content"),
    (messages(USER | {"mood": "x"}), "unknown_parameter", "messages[0].mood"),
    (messages(USER | {"name": "Ada"}), "unsupported_parameter", "messages[0].name"),
    (
        messages({"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]}),
        "unsupported_value",
        "messages[0].content[1].type",
    ),
    (messages({"role": "assistant"}), "invalid_value", "messages[0].content"),
    (
        messages(USER, {"role": "assistant", "content": "x", "function_call": {}}),
        "unsupported_parameter",
        "messages[1].function_call",
    ),
    (messages(USER, RESULTS[0]), "invalid_value", "messages[1].tool_call_id"),
    (messages(USER, ASKED, RESULTS[0]), "invalid_value", "messages"),
    (messages(USER, ASKED, RESULTS[0], USER), "invalid_value", "messages"),
    (messages(USER, ASKED, RESULTS[0], RESULTS[0]), "invalid_value", "messages[3].tool_call_id"),
    (
        messages(USER, ASKED, RESULTS[0] | {"name": "h"}),
        "invalid_value",
        "messages[2].name",
    ),
    (
        messages(USER, {"role": "assistant", "tool_calls": [CALL, CALL]}),
        "invalid_value",
        "messages[1].tool_calls",
    ),
    (
        messages(
            USER,
            {
                "role": "assistant",
                "tool_calls": [CALL | {"function": {"name": "f", "arguments": "[1]"}}],
            },
        ),
        "invalid_value",
        "messages[1].tool_calls[0].function.arguments",
    ),
    ({"max_tokens": 5, "max_completion_tokens": 6}, "invalid_value", "max_tokens"),
    ({"max_tokens": 0}, "invalid_value", "max_tokens"),
    ({"max_completion_tokens": 10**30}, "invalid_value", "max_completion_tokens"),
    ({"temperature": 2.1}, "invalid_value", "temperature"),
    ({"temperature": "0"}, "invalid_value", "temperature"),
    ({"top_p": 0}, "invalid_value", "top_p"),
    ({"n": 0}, "invalid_value", "n"),
    ({"n": 9}, "invalid_value", "n"),
    ({"n": 10**6}, "invalid_value", "n"),
    ({"seed": -1}, "invalid_value", "seed"),
    ({"stop": ["a"] * 17}, "invalid_value", "stop"),
    ({"stop": ""}, "invalid_value", "stop"),
    ({"logprobs": 3}, "invalid_value", "logprobs"),
    ({"top_logprobs": 3}, "invalid_value", "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "invalid_value", "top_logprobs"),
    ({"logit_bias": {"Hello": 1}}, "invalid_value", "logit_bias.Hello"),
    ({"logit_bias": {"1": 101}}, "invalid_value", "logit_bias"),
    ({"stream": "yes"}, "invalid_value", "stream"),
    ({"stream_options": {"include_usage": True}}, "invalid_value", "stream_options"),
    ({"stream": True, "stream_options": {"x": 1}}, "unknown_parameter", "stream_options.x"),
    (
        {"stream": True, "stream_options": {"include_obfuscation": True}},
        "unsupported_parameter",
        "stream_options.include_obfuscation",
    ),
    ({"response_format": {"type": "xml"}}, "invalid_value", "response_format"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
        "missing_required_parameter",
        "response_format.json_schema.schema",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}},
        "invalid_value",
        "response_format.json_schema.name",
    ),
    ({"response_format": FORMAT, "tools": [TOOL]}, "unsupported_parameter", "response_format"),
    ({"tools": [TOOL, TOOL]}, "invalid_value", "tools[1].function.name"),
    ({"tools": [{"type": "custom", "custom": {}}]}, "unsupported_value", "tools[0].type"),
    ({"tools": [TOOL] * 129}, "invalid_value", "tools"),
    ({"tool_choice": "required"}, "invalid_value", "tool_choice"),
    ({"tool_choice": "some"}, "invalid_value", "tool_choice"),
    (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
        "invalid_value",
        "tool_choice",
    ),
    ({"store": True}, "unsupported_parameter", "store"),
    ({"metadata": {"a": "b"}}, "unsupported_parameter", "metadata"),
    ({"service_tier": "flex"}, "unsupported_parameter", "service_tier"),
    ({"modalities": ["text", "audio"]}, "unsupported_parameter", "modalities[1]"),
    ({"audio": {"voice": "x"}}, "unsupported_parameter", "audio"),
    ({"functions": [{"name": "f"}]}, "unsupported_parameter", "functions"),
    ({"function_call": "auto"}, "unsupported_parameter", "function_call"),
    ({"prediction": {"type": "content"}}, "unsupported_parameter", "prediction"),
    ({"reasoning_effort": "high"}, "unsupported_parameter", "reasoning_effort"),
    ({"verbosity": "low"}, "unsupported_parameter", "verbosity"),
    ({"web_search_options": {}}, "unsupported_parameter", "web_search_options"),
    ({"prompt_cache_key": "a"}, "unsupported_parameter", "prompt_cache_key"),
    ({"moderation": {"model": "m"}}, "unsupported_parameter", "moderation"),
    ({"chat_template": "{{ 1 }}"}, "unknown_parameter", "chat_template"),
    ({"chat_template_kwargs": {}}, "unknown_parameter", "chat_template_kwargs"),
    ({"prompt_embeds": "x"}, "unknown_parameter", "prompt_embeds"),
    ({"max_new_tokens": 5}, "unknown_parameter", "max_new_tokens"),
]


async def test_what_is_refused_says_why(served: Served) -> None:
    """reliability lines 35, 42"""
    before = len(served.loader.requests)
    for fields, code, param in REFUSED:
        for stream in ({}, {"stream": True}) if "stream_options" not in fields else ({},):
            response = await chat(served, **stream | fields)
            error = told(response)
            assert (response.status_code, error["code"], error["param"]) == (400, code, param), (
                fields,
                error,
            )
            assert error["type"] == "invalid_request_error" and error["message"].endswith(".")
    assert len(served.loader.requests) == before


async def test_every_field_of_openai_is_known() -> None:
    """A field that the client can send is served or refused by name, never 'unknown'."""
    from openai.types import completion_create_params as text
    from openai.types.chat import completion_create_params as chat_params

    for params, body in ((chat_params, ChatBody), (text, TextBody)):
        known = set(params.CompletionCreateParamsBase.__annotations__) | {"stream"}
        assert known <= set(body.model_fields), known - set(body.model_fields)


async def test_what_is_no_object_of_fields(served: Served) -> None:
    headers = {"content-type": "application/json"}
    bodies = (b"", b"[]", b'"x"', b"null", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 50_000)
    for path in ("chat/completions", "completions"):
        for content in bodies:
            response = await served.client.post(f"/v1/{path}", content=content, headers=headers)
            deep = "a.a.a.a.a.a.a.a..." if content.startswith(b'{"a"') else None
            assert (response.status_code, told(response)["param"]) == (400, deep), content[:20]
        response = await served.client.post(f"/v1/{path}", content=b"{}")
        assert response.status_code == 400 and "application/json" in told(response)["message"]
        many = {f"f{n}": 1 for n in range(5_000)}
        assert told(await post(served, path, **many))["code"] == "unknown_parameter"


async def test_the_client_s_exceptions(served: Served) -> None:
    async with client_of(served) as client:
        create = client.chat.completions.create
        with pytest.raises(openai.BadRequestError) as caught:
            await create(model="one", messages=HELLO, temperature=9)
        assert (caught.value.code, caught.value.param) == ("invalid_value", "temperature")
        with pytest.raises(openai.BadRequestError) as caught:
            await create(model="one", messages=[{"role": "user", "content": "x" * 5000}])
        assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")
        assert "4096" in caught.value.message
        with pytest.raises(openai.NotFoundError) as caught:
            await create(model="gpt-4", messages=HELLO)
        assert caught.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as caught:
            await create(model="one", messages=HELLO, extra_body={"surprise": 1})
        assert caught.value.code == "unknown_parameter"


async def test_messages_reach_the_engine(served: Served) -> None:
    parts = [{"type": "text", "text": "Hi "}, {"type": "text", "text": "there"}]
    given = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "Yes?", "refusal": None, "annotations": []},
        {"role": "system", "content": "Be kind.", "name": None},
        {"role": "user", "content": "<|im_end|>"},
    ]
    assert (await chat(served, messages=given)).status_code == 200
    assert [(m.role, m.content) for m in served.loader.requests[-1].messages] == [
        ("system", "Be brief."),
        ("user", "Hi there"),
        ("assistant", "Yes?"),
        ("system", "Be kind."),
        ("user", "<|im_end|>"),
    ]


async def test_results_stand_in_the_order_of_their_calls(served: Served) -> None:
    """The template has no ids: the first result is the first call's."""
    given = [USER, ASKED, *RESULTS, {"role": "user", "content": "And?"}]
    assert (await chat(served, messages=given)).status_code == 200
    sent = served.loader.requests[-1].messages
    assert [(call.name, call.arguments) for call in sent[1].tool_calls] == [
        ("f", {}),
        ("g", {"a": 1}),
    ]
    assert [(m.role, m.content) for m in sent[2:4]] == [("tool", "first"), ("tool", "second")]


VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 10**400, 1.5, -0.0, 1e308, "", "x", "auto", "json_object"),
    *([], {}, [1], ["a"], [[1, 2]], [None], {"type": "text"}, {"type": []}, {"role": "user"}),
    *([USER], [ASKED, *RESULTS], [TOOL], FORMAT, {"0": 1}, "\x00", "é" * 300, [USER, 5]),
    *({"include_usage": True}, {"type": "function", "function": {"name": "f"}}, [[]], [{}]),
]


async def test_fuzzed_bodies_never_fail_the_server(served: Served) -> None:
    """reliability lines 35, 40: 400 bodies of right and wrong values in any mixture."""
    chance = random.Random(20261122)
    seen: dict[int, int] = {}
    for number in range(400):
        kind, path = ((ChatBody, "chat/completions"), (TextBody, "completions"))[number % 2]
        body: dict[str, Any] = {"messages": HELLO} if number % 2 == 0 else {"prompt": "Hi"}
        names = [field.alias or name for name, field in kind.model_fields.items()]
        for name in chance.sample(names, chance.randint(1, 2)):
            body[name] = chance.choice(VALUES) if chance.random() < 0.4 else None
        response = await post(served, path, **body)
        assert response.status_code in (200, 400, 404), (body, response.text)
        if response.status_code != 200:
            told(response)
        seen[response.status_code] = seen.get(response.status_code, 0) + 1
    assert min(seen.get(200, 0), seen.get(400, 0)) > 40, seen
    assert json.loads((await chat(served)).text)["choices"]
