"""Tool calls: which texts the grammar takes, with the marks as tokens and as plain text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer

from qwen_webui.structured import grammar, instruction, schema_of
from qwen_webui.structured.vocabulary import byte_vocabulary, read_vocabulary
from qwen_webui.types import Constraint
from tests.structured.walks import DEMO, Walker

TIME: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_time",
        "parameters": {
            "type": "object",
            "properties": {"city": {"$ref": "#/$defs/city"}},
            "required": ["city"],
            "$defs": {"city": {"type": "string", "maxLength": 9}},
        },
    },
}
ROLL: dict[str, Any] = {"type": "function", "function": {"name": "roll"}}


def tools(choice: str = "auto", parallel: bool = True) -> Constraint:
    value = {"tools": [TIME, ROLL], "choice": choice, "parallel": parallel}
    return Constraint("tools", json.dumps(value))


def call(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


OSLO = call("get_time", '{"city": "Oslo"}')
DICE = call("roll", "{}")
ALL = ("auto", "required", "get_time", "roll")
# Each text with the choices that take it.
TEXTS: list[tuple[str, tuple[str, ...]]] = [
    ("", ("auto",)),
    ("It is late. <b>5 > 3</b>", ("auto",)),
    ("a <tool_cal", ("auto",)),
    (OSLO, ("auto", "required", "get_time")),
    (DICE, ("auto", "required", "roll")),
    (f"Let me see.\n{OSLO}", ("auto",)),
    ("Like this: <tool_call> is a mark", ()),
    (f"{OSLO} and", ()),
    (f"{OSLO}\n", ()),
    (call("other", "{}"), ()),
    (call("get_time", "{}"), ()),
    (call("get_time", '{"city": 3}'), ()),
    (call("get_time", '{"city": "Oslo", "more": 1}'), ()),
    (call("roll", '{"sides": 6}'), ()),
    ('<tool_call>{"name": "roll", "arguments": {}}</tool_call>', ()),
]


@pytest.fixture(scope="module", params=["tokens", "plain"])
def vocabulary(request: pytest.FixtureRequest) -> LLTokenizer:
    return read_vocabulary(DEMO) if request.param == "tokens" else byte_vocabulary()


def takes(vocabulary: LLTokenizer, constraint: Constraint, text: str) -> bool:
    matcher = LLMatcher(vocabulary, grammar(constraint), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    tokens = vocabulary.tokenize_str(text)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


@pytest.mark.parametrize("choice", ALL)
@pytest.mark.parametrize("parallel", [True, False])
def test_texts_and_calls(vocabulary: LLTokenizer, choice: str, parallel: bool) -> None:
    constraint = tools(choice, parallel)
    for text, choices in TEXTS:
        assert takes(vocabulary, constraint, text) == (choice in choices), text
    two = {"roll": f"{DICE}\n{DICE}", "get_time": f"{OSLO}\n{OSLO}"}.get(choice, f"{OSLO}\n{DICE}")
    assert takes(vocabulary, constraint, two) == parallel
    assert not takes(vocabulary, constraint, two.replace("\n<tool_call>", "<tool_call>"))


def test_the_marks_token_is_allowed_and_other_added_tokens_never() -> None:
    vocabulary = read_vocabulary(DEMO)
    matcher = LLMatcher(vocabulary, grammar(tools("auto")), log_level=0)
    mask = matcher.compute_bitmask()
    known = json.loads((DEMO / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    allowed = {t["content"] for t in known if mask[t["id"] // 8] >> t["id"] % 8 & 1}
    ends = {t["content"] for t in known if t["id"] in vocabulary.eos_tokens}
    assert allowed == {"<tool_call>", "</tool_call>"} | ends


def test_random_calls_are_whole() -> None:
    walker = Walker()
    for choice in ("auto", "required", "get_time"):
        for text in walker.answers(tools(choice), 15):
            assert takes(byte_vocabulary(), tools(choice), text), text


def test_vocabulary_has_the_models_rows_and_its_ends() -> None:
    vocabulary = read_vocabulary(DEMO, 5_200)
    assert vocabulary.vocab_size == 5_200
    assert read_vocabulary(DEMO).vocab_size == 5_120  # config.json's, above the tokenizer's 5,120
    assert set(vocabulary.eos_tokens) == {5_117, 5_115}
    text = "naïve 中文 <tool_call>\n"
    assert vocabulary.decode_bytes(vocabulary.tokenize_str(text)) == text.encode()


def test_tools_need_no_instruction_and_have_no_schema() -> None:
    assert instruction(tools()) == ""
    assert schema_of(tools()) is None
