"""/v1 in front of the engine's own process and the embedded checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from qwen_webui.tokens import ChatTokenizer
from tests.api.openai.clients import chunks_of
from tests.api.openai.strict import ChatCompletion, Completion, strictly
from tests.test_server import Process

pytestmark = pytest.mark.slow

HELLO: list[Any] = [{"role": "user", "content": "Hello!"}]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
ADD: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The program, with the embedded unquantised checkpoint."""
    process = Process(tmp_path_factory.mktemp("real") / "data", Path("demo"), "real=1")
    process.wait_for("/readyz", 120)
    yield process
    process.close()


def chat(real: Process, **fields: Any) -> httpx.Response:
    body = {"messages": HELLO, "temperature": 0, "max_tokens": 24} | fields
    return httpx.post(f"{real.url}/v1/chat/completions", json=body, timeout=120)


def test_an_answer_whole_and_in_pieces(real: Process) -> None:
    whole = strictly(ChatCompletion, chat(real, seed=1).json())
    assert whole.model == "demo-fp16" and whole.choices[0].message.content
    chunks = chunks_of(chat(real, stream=True, seed=1))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content


def test_log_probabilities_are_true(real: Process) -> None:
    """Of every token the sum over the alternatives is at most 1, and greedy takes the best."""
    answer = strictly(ChatCompletion, chat(real, logprobs=True, top_logprobs=5).json())
    tokens = answer.choices[0].logprobs.content
    assert len(tokens) == answer.usage.completion_tokens
    for token in tokens:
        assert sum(math.exp(top.logprob) for top in token.top_logprobs) <= 1.001
        assert token.top_logprobs[0].token == token.token
    said = b"".join(bytes(token.bytes) for token in tokens).decode()
    assert said.startswith(answer.choices[0].message.content or "?")


def test_a_biased_token_is_not_said(real: Process, demo_folder: Path) -> None:
    plain = strictly(ChatCompletion, chat(real, logprobs=True, max_tokens=1).json())
    first = plain.choices[0].logprobs.content[0].token
    (number,) = ChatTokenizer.load(demo_folder).encode(first)
    asked = {"logprobs": True, "max_tokens": 1, "logit_bias": {str(number): -100}}
    other = strictly(ChatCompletion, chat(real, **asked).json())
    assert other.choices[0].logprobs.content[0].token != first
    wrong = chat(real, logit_bias={"999999999": -100})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "logit_bias")


def test_json_of_a_schema(real: Process) -> None:
    asked = {"type": "json_schema", "json_schema": {"name": "p", "schema": SCHEMA, "strict": True}}
    for temperature in (0, 1.5):
        response = chat(
            real, response_format=asked, max_tokens=200, temperature=temperature, seed=3
        )
        value = json.loads(strictly(ChatCompletion, response.json()).choices[0].message.content)
        assert set(value) == {"name", "age"} and isinstance(value["age"], int)
    small = chat(real, response_format=asked, max_tokens=3)
    assert (small.status_code, small.json()["error"]["code"]) == (400, "budget_too_small")
    assert small.json()["error"]["param"] == "max_tokens"


def test_a_tool_is_called(real: Process) -> None:
    with openai.OpenAI(api_key="none", base_url=f"{real.url}/v1", max_retries=0) as client:
        answer = client.chat.completions.create(
            model="demo-fp16",
            messages=[{"role": "user", "content": "What is 2 plus 3?"}],
            tools=[ADD],  # type: ignore[list-item]
            tool_choice="required",
            max_tokens=200,
        )
    call = (answer.choices[0].message.tool_calls or ())[0]
    assert call.type == "function" and call.function.name == "add"
    assert set(json.loads(call.function.arguments)) == {"a", "b"}
    assert answer.choices[0].finish_reason == "tool_calls"


def test_a_score_is_what_generating_says(real: Process) -> None:
    """The log-probabilities of an answer are the same when it is told and when it is scored."""
    prompt = "The sky is"
    url = f"{real.url}/v1/completions"
    asked = {"prompt": prompt, "temperature": 0, "max_tokens": 6, "logprobs": 0}
    answer = strictly(Completion, httpx.post(url, json=asked, timeout=60).json())
    said = answer.choices[0].logprobs
    echoed = {"prompt": prompt, "temperature": 0, "max_tokens": 6, "logprobs": 0, "echo": True}
    both = strictly(Completion, httpx.post(url, json=echoed, timeout=60).json())
    told = both.choices[0].logprobs
    count = len(said.tokens)
    assert told.tokens[-count:] == said.tokens and told.token_logprobs[0] is None
    assert told.token_logprobs[-count:] == pytest.approx(said.token_logprobs, abs=1e-3)
    assert both.choices[0].text == prompt + answer.choices[0].text
    whole = {"prompt": both.choices[0].text, "max_tokens": 0, "logprobs": 0, "echo": True}
    scored = strictly(Completion, httpx.post(url, json=whole, timeout=60).json())
    assert scored.choices[0].logprobs.tokens == told.tokens
    assert scored.choices[0].logprobs.token_logprobs[1:] == pytest.approx(
        told.token_logprobs[1:], abs=1e-2
    )


def test_a_beginning_that_was_read_before_is_counted_as_cached(real: Process) -> None:
    """By the engine's own count, over all the ways between it and the client."""
    told = []
    for place in range(2):
        text = "Tell me of the sea, of ships and of those who sail them. " * 6 + f"Part {place}."
        answer = chat(real, messages=[{"role": "user", "content": text}], max_tokens=4)
        usage = strictly(ChatCompletion, answer.json()).usage
        told.append((usage.prompt_tokens_details.cached_tokens, usage.prompt_tokens))
    (first, _), (again, prompt) = told
    assert first < again < prompt and again >= prompt - 48
