"""Plain completions and scores: the official client, strictly, over the scripted engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qwen_webui.engines.scripted import Script
from qwen_webui.errors import GenerationFailed, OutOfMemory
from tests.api.conftest import Served
from tests.api.openai.clients import client_of, post, texts_of
from tests.api.openai.strict import Completion, strictly
from tests.api.test_generate import told
from tests.serving import CONTROL, soon

WORDS = Script(words=("x", "y", "z"))


async def complete(served: Served, prompt: Any = "One two", **fields: Any) -> Any:
    """A completion asked for by hand, strictly of the client's type."""
    response = await post(served, "completions", prompt=prompt, **fields)
    assert response.status_code == 200, response.text
    return strictly(Completion, response.json())


async def test_one_text(served: Served) -> None:
    served.loader.script = WORDS
    answer = await complete(served, model="one", temperature=0.1)
    assert [(c.index, c.text, c.finish_reason, c.logprobs) for c in answer.choices] == [
        (0, "x y z", "stop", None)
    ]
    assert (answer.object, answer.model) == ("text_completion", "one")
    assert answer.id.startswith("cmpl-")
    assert answer.usage.completion_tokens == 3
    request = served.loader.requests[-1]
    assert (request.prompt, request.messages) == ("One two", ())
    assert (request.sampling.max_new_tokens, request.sampling.temperature) == (16, 0.1)


async def test_the_official_client(served: Served) -> None:
    served.loader.script = WORDS
    async with client_of(served) as client:
        answer = await client.completions.create(model="one", prompt=["a", "b"], n=2, seed=1)
        assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
        assert answer.usage is not None and answer.usage.completion_tokens == 12
        stream = await client.completions.create(model="one", prompt="a", stream=True)
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].text for chunk in chunks) == "x y z"
    by_prompt = sorted((str(r.prompt), r.sampling.seed) for r in served.loader.requests[1:5])
    assert by_prompt == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]


@pytest.mark.parametrize(
    ("prompt", "sent"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([72, 105], [(72, 105)]),
        ([[72], [105, 33]], [(72,), (105, 33)]),
    ],
)
async def test_the_four_forms_of_a_prompt(served: Served, prompt: Any, sent: Any) -> None:
    served.loader.script = WORDS
    answer = await complete(served, prompt)
    assert len(answer.choices) == len(sent)
    assert sorted((r.prompt for r in served.loader.requests[1:]), key=str) == sorted(sent, key=str)


async def test_a_stream(served: Served) -> None:
    served.loader.script = WORDS
    options = {"stream": True, "stream_options": {"include_usage": True}}
    response = await post(served, "completions", prompt=["a", "b"], logprobs=1, **options)
    chunks = texts_of(response)
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 6
    for index in (0, 1):
        mine = [c.choices[0] for c in chunks[:-1] if c.choices[0].index == index]
        assert "".join(choice.text for choice in mine) == "x y z"
        assert [choice.finish_reason for choice in mine] == [None, None, None, "stop"]
        offsets = [o for choice in mine for o in choice.logprobs.text_offset]
        assert offsets == [0, 1, 3]
        tops = [top for choice in mine for top in choice.logprobs.top_logprobs]
        assert tops == [{"x": -0.5}, {" y": -0.5}, {" z": -0.5}]


async def test_an_echo(served: Served) -> None:
    served.loader.script = WORDS
    answer = await complete(served, "One two", echo=True)
    assert answer.choices[0].text == "One twox y z"
    chunks = texts_of(await post(served, "completions", prompt="ab", echo=True, stream=True))
    assert [chunk.choices[0].text for chunk in chunks] == ["ab", "x", " y", " z", ""]


async def test_a_score(served: Served) -> None:
    """As evaluation programs ask for one: nothing is generated."""
    before = len(served.loader.requests)
    answer = await complete(served, "abc", echo=True, max_tokens=0, logprobs=0, temperature=0)
    choice = answer.choices[0]
    assert (choice.text, choice.finish_reason) == ("abc", "length")
    # A token is a byte here; the scripted engine scores every one with -1.
    assert choice.logprobs.tokens == ["a", "b", "c"]
    assert choice.logprobs.token_logprobs == [None, -1.0, -1.0]
    assert (choice.logprobs.text_offset, choice.logprobs.top_logprobs) == ([0, 1, 2], None)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 0)
    assert len(served.loader.requests) == before
    ids = served.services.manager.tokenizer().encode("abc")
    same = await complete(served, [ids, ids], echo=True, max_tokens=0, logprobs=1)
    assert [c.text for c in same.choices] == ["abc", "abc"]
    assert same.choices[1].logprobs.token_logprobs == [None, -1.0, -1.0]
    assert same.choices[1].logprobs.top_logprobs == [{}, {}, {}]
    assert served.services.manager.status().running == 0


async def test_a_score_before_what_follows(served: Served) -> None:
    served.loader.script = WORDS
    answer = await complete(served, "ab", echo=True, logprobs=2)
    told_of = answer.choices[0].logprobs
    assert (told_of.tokens, told_of.text_offset) == (["a", "b", "x", " y", " z"], [0, 1, 2, 3, 5])
    assert told_of.token_logprobs == [None, -1.0, -0.5, -0.5, -0.5]
    assert answer.choices[0].text == "abx y z"


async def test_control_tokens_count_in_a_raw_prompt(served: Served) -> None:
    answer = await complete(served, CONTROL[1] + "a", echo=True, max_tokens=0, logprobs=0)
    assert answer.choices[0].logprobs.tokens == [CONTROL[1], "a"]
    ids = served.services.manager.tokenizer().encode_prompt(CONTROL[1] + "a")
    again = await complete(served, ids, echo=True, max_tokens=0)
    assert (again.choices[0].text, again.choices[0].logprobs) == (CONTROL[1] + "a", None)


REFUSED: list[tuple[dict[str, Any], str, str | None]] = [
    ({"prompt": None}, "invalid_value", "prompt"),
    ({"prompt": ""}, "invalid_value", "prompt"),
    ({"prompt": []}, "invalid_value", "prompt"),
    ({"prompt": [[]]}, "invalid_value", "prompt[0]"),
    ({"prompt": ["a", 1]}, "invalid_value", "prompt[1]"),
    ({"prompt": [1, -1]}, "invalid_value", "prompt[1]"),
    ({"prompt": [10**6]}, "invalid_value", "prompt"),
    ({"prompt": ["a"] * 129}, "invalid_value", "prompt"),
    ({"prompt": ["a"] * 65, "n": 2}, "invalid_value", "n"),
    ({"max_tokens": 0}, "invalid_value", "max_tokens"),
    ({"max_tokens": -1}, "invalid_value", "max_tokens"),
    ({"max_tokens": 8193}, "invalid_value", "max_tokens"),
    ({"suffix": "x"}, "unsupported_parameter", "suffix"),
    ({"best_of": 3}, "unsupported_parameter", "best_of"),
    ({"logprobs": True}, "invalid_value", "logprobs"),
    ({"logprobs": 21}, "invalid_value", "logprobs"),
    ({"messages": []}, "unknown_parameter", "messages"),
    ({"prompt": "a" * 5000}, "context_length_exceeded", "prompt"),
    (
        {"prompt": "a" * 5000, "echo": True, "logprobs": 0, "max_tokens": 0},
        "context_length_exceeded",
        None,
    ),
]


async def test_what_is_refused_says_why(served: Served) -> None:
    for fields, code, param in REFUSED:
        response = await post(served, "completions", **{"prompt": "a"} | fields)
        error = told(response)
        assert (response.status_code, error["code"]) == (400, code), (fields, error)
        assert param in (None, error["param"]), (fields, error)
    response = await post(served, "completions", model="one")
    assert told(response)["code"] == "missing_required_parameter"


async def test_errors(served: Served) -> None:
    served.loader.script = Script(fail_at=0, error=OutOfMemory("Too long."))
    response = await post(served, "completions", prompt="a", stream=True)
    assert (response.status_code, told(response)["code"]) == (503, "oom")
    served.loader.script = Script(words=("a",) * 5, fail_at=2, error=GenerationFailed("It broke."))
    response = await post(served, "completions", prompt="a", stream=True)
    assert response.status_code == 200 and '"code":"generation_failed"' in response.text
    assert "[DONE]" not in response.text


async def test_many_prompts_wait_their_turn(served: Served) -> None:
    served.loader.script = Script(words=("a",), delay=0.01)
    answer = await complete(served, [f"p{n}" for n in range(40)])
    assert len(answer.choices) == 40 and served.loader.peak == 2


async def test_a_client_that_goes_away(served: Served) -> None:
    served.loader.script = Script(words=("a",) * 500, delay=0.02)
    asked = asyncio.create_task(post(served, "completions", prompt=["a", "b", "c"]))
    await soon(lambda: served.loader.running == 2)
    asked.cancel()
    await soon(lambda: served.loader.running == 0)
    assert served.services.manager.status().waiting == 0
