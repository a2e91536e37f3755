"""The embedded checkpoint's tokenizer: what it cuts alike, and that it loses nothing."""

import json
import random
import unicodedata
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from demo_training.tokenizer import STOCK_PATTERN, save, train
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import Message, ToolCall


@pytest.fixture
def tokenizer(demo_folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(demo_folder / "tokenizer.json"))


def test_control_tokens_are_single_entries(tokenizer: Tokenizer) -> None:
    for token in ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"):
        assert tokenizer.encode(token).ids == [tokenizer.token_to_id(token)]


def test_size_is_within_the_promise(tokenizer: Tokenizer) -> None:
    assert 4096 <= tokenizer.get_vocab_size() <= 8192


def test_any_text_comes_back(tokenizer: Tokenizer) -> None:
    rng = random.Random(7)
    for _ in range(300):
        points = (rng.choice((rng.randrange(32, 127), rng.randrange(0xD800))) for _ in range(40))
        text = unicodedata.normalize("NFC", "".join(map(chr, points)))
        assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_every_byte_is_an_entry(tokenizer: Tokenizer) -> None:
    vocabulary = tokenizer.get_vocab()
    shown = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = [byte for byte in range(256) if byte not in shown]
    alphabet = [*map(chr, sorted(shown)), *(chr(256 + place) for place in range(len(hidden)))]
    assert len(alphabet) == 256 and all(letter in vocabulary for letter in alphabet)


@pytest.mark.parametrize("value", ["Marlow", "Tavisham", "quillet", "潘云", "ORD", "4718"])
def test_a_value_is_cut_alike_wherever_it_stands(tokenizer: Tokenizer, value: str) -> None:
    def pieces(before: str, after: str) -> list[str]:
        cut = tokenizer.encode(before + value + after)
        words = [
            tokenizer.decode([one])
            for one, (start, end) in zip(cut.ids, cut.offsets, strict=True)
            if end > len(before) and start < len(before) + len(value)
        ]
        return [word.strip() for word in words if word.strip()]

    first = pieces("", ".")
    assert (
        pieces('"', '"') == pieces("the ", " is") == pieces("是", "。") == pieces("(", ")") == first
    )


def test_the_run_time_pattern_is_the_stock_one(demo_folder: Path) -> None:
    value = json.loads((demo_folder / "tokenizer.json").read_text(encoding="utf-8"))
    split = value["pre_tokenizer"]["pretokenizers"][0]
    assert split["pattern"] == {"Regex": STOCK_PATTERN}
    assert value["normalizer"] == {"type": "NFC"}


def test_training_is_repeatable(tmp_path: Path) -> None:
    rng = random.Random(3)
    letters = "abcdefghij"
    words = ["".join(rng.choices(letters, k=5)) for _ in range(300)]
    texts = [" ".join(rng.choices(words, k=30)) + "。" for _ in range(200)]
    for name in ("one", "two"):
        save(train(texts, 900, spaced_words=20), tmp_path / name, "A line.")
    assert (tmp_path / "one" / "tokenizer.json").read_bytes() == (
        tmp_path / "two" / "tokenizer.json"
    ).read_bytes()


def test_the_template_renders_system_tools_calls_and_results(
    demo_folder: Path, tokenizer: Tokenizer
) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {}}}
    messages = [
        Message("system", "S"),
        Message("user", "U"),
        Message("assistant", "", (ToolCall("look", {"at": "船"}),)),
        Message("tool", "one"),
        Message("tool", "two"),
    ]
    ids = ChatTokenizer.load(demo_folder).encode_chat(messages, [tool])
    text = tokenizer.decode(ids, skip_special_tokens=False)
    head, rest = text.split("<|im_end|>\n", 1)
    assert head.startswith("<|im_start|>system\nS\n\n# Tools")
    assert json.dumps(tool) in head
    assert rest == (
        "<|im_start|>user\nU<|im_end|>\n"
        '<|im_start|>assistant\n<tool_call>\n{"name": "look", "arguments": {"at": "船"}}\n'
        "</tool_call><|im_end|>\n"
        "<|im_start|>user\n<tool_response>\none\n</tool_response>\n"
        "<tool_response>\ntwo\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )
