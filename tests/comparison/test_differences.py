"""What of two answers is equal, and where they part. Against cases worked by hand."""

from __future__ import annotations

import time

import pytest

from qwen_webui.comparison.differences import MOST_UNITS, Change, changes, first_difference
from qwen_webui.comparison.values import Difference


def sides(reference: str, text: str) -> tuple[str, str]:
    runs = changes(reference, text)
    old = "".join(run.text for run in runs if run.kind != "added")
    return old, "".join(run.text for run in runs if run.kind != "removed")


def test_chinese_is_compared_by_character_and_latin_by_word() -> None:
    assert changes("今天天气很好。The cat sat", "今天天气真好。The dog sat") == (
        Change("same", "今天天气"),
        Change("removed", "很"),
        Change("added", "真"),
        Change("same", "好。The "),
        Change("removed", "cat"),
        Change("added", "dog"),
        Change("same", " sat"),
    )


@pytest.mark.parametrize(
    ("reference", "text", "runs"),
    [
        ("", "", ()),
        ("a b", "a b", (Change("same", "a b"),)),
        ("", "a b", (Change("added", "a b"),)),
        ("a b", "", (Change("removed", "a b"),)),
        ("a", "a b", (Change("same", "a"), Change("added", " b"))),
    ],
)
def test_empty_equal_and_longer(reference: str, text: str, runs: tuple[Change, ...]) -> None:
    assert changes(reference, text) == runs


@pytest.mark.parametrize("unit", ["word{} ", "{} x\n", "字{}。"])
def test_long_texts_are_whole_and_quick(unit: str) -> None:
    old = "".join(unit.format(n * 7 % 150) for n in range(4 * MOST_UNITS))
    new = "".join(unit.format(n * 11 % 149) for n in range(4 * MOST_UNITS))
    began = time.monotonic()
    assert sides(old, new) == (old, new)
    assert time.monotonic() - began < 10


def test_a_late_change_of_a_long_text_is_shown_alone() -> None:
    old = "one two three. " * MOST_UNITS
    runs = changes(old + "yes. " + old, old + "no. " + old)
    assert [run.kind for run in runs] == ["same", "removed", "added", "same"]
    assert [run.text for run in runs[1:3]] == ["yes", "no"]


def test_where_two_answers_part_by_token() -> None:
    said = "今天很", ["今天".encode(), *(bytes([b]) for b in "很".encode())]
    other = "今天真", ["今天".encode(), *(bytes([b]) for b in "真".encode())]
    assert first_difference(said, said) is None
    assert first_difference(said, other) == Difference(1, 2, "\ufffd", "\ufffd")
    assert first_difference(said, ("今天", said[1][:1])) == Difference(1, 2, "\ufffd", "")


def test_without_tokens_that_make_the_text_words_are_counted() -> None:
    numbers = [b"$", b"%"]
    expected = Difference(2, 6, "there", "you")
    assert first_difference(("Hello there", ()), ("Hello you", ())) == expected
    assert first_difference(("Hello there", numbers), ("Hello you", numbers)) == expected
