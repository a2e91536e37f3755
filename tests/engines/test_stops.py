"""Stop strings: nothing of one is ever shown, nothing else is lost."""

from __future__ import annotations

import itertools

import pytest

from qwen_webui.engines.stops import StopFilter


def pieces(text: str, sizes: tuple[int, ...]) -> list[str]:
    """`text` cut into pieces of the sizes, in turn."""
    cut, at = [], 0
    for size in itertools.cycle(sizes):
        if at >= len(text):
            return cut
        cut.append(text[at : at + size])
        at += size
    raise AssertionError("unreachable")


@pytest.mark.parametrize("sizes", [(1,), (2,), (3, 1), (100,)])
@pytest.mark.parametrize(
    ("text", "stops", "shown"),
    [
        ("one two three", ("two",), "one "),
        ("aaab rest", ("aab",), "a"),
        ("ababac tail", ("abac",), "ab"),
        ("no stop here", ("stopped",), "no stop here"),
        ("ends in sto", ("stop",), "ends in sto"),
        ("first wins", ("wins", "irs"), "f"),
        ("你好。再见。", ("。再",), "你好"),
        ("anything", ("",), "anything"),
        ("anything", (), "anything"),
    ],
)
def test_shown_text(text: str, stops: tuple[str, ...], shown: str, sizes: tuple[int, ...]) -> None:
    watched = StopFilter(stops)
    found = ""
    for piece in pieces(text, sizes):
        found += watched.push(piece)
        assert shown.startswith(found)
    assert found + watched.flush() == shown
    assert watched.stopped == (shown != text)


def test_text_is_held_back_no_longer_than_it_must() -> None:
    watched = StopFilter(("END",))
    assert [watched.push(piece) for piece in ("a", "E", "N", "x", "E")] == ["a", "", "", "ENx", ""]
    assert watched.flush() == "E"
