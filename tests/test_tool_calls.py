"""Hermes text read as it streams: whatever the pieces, the same text and the same calls."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from qwen_webui.chat.tool_calls import Call, Delta, ToolCallParser
from qwen_webui.errors import GenerationFailed
from qwen_webui.types import TextDelta, TokenLogprob, ToolCallDelta

ARGUMENTS = '{"city": "Oslo \\"}{[\\\\", "days": [1, {"a": []}]}'
ONE = f'<tool_call>\n{{"name": "weather", "arguments": {ARGUMENTS}}}\n</tool_call>'
TWO = '<tool_call>\n{"name": "time", "arguments": {}}\n</tool_call>'
NAMES = ("weather", "time")


def read(pieces: list[str], *, cut: bool = False) -> tuple[str, list[tuple[str, str]]]:
    """All text, and every call's name and arguments as a client joins them."""
    parser = ToolCallParser(NAMES)
    deltas: list[Delta] = []
    for number, piece in enumerate(pieces):
        deltas += parser.push(TextDelta(piece, (number,)))
    deltas += parser.finish(cut=cut)
    calls: list[tuple[str, str]] = []
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            if delta.name:
                assert delta.index == len(calls)
                calls.append((delta.name, ""))
            assert delta.index == len(calls) - 1
            calls[-1] = (calls[-1][0], calls[-1][1] + delta.arguments)
    assert [Call(*call) for call in calls[: len(parser.calls)]] == parser.calls
    assert parser.begun == len(calls)
    return "".join(d.text for d in deltas if isinstance(d, TextDelta)), calls


CASES = [
    ("Nothing to call.\n", "Nothing to call.\n", []),
    (ONE, "", [("weather", ARGUMENTS)]),
    (f"{ONE}\n{TWO}\n", "", [("weather", ARGUMENTS), ("time", "{}")]),
    (f"Let me see.\n{ONE}", "Let me see.", [("weather", ARGUMENTS)]),
    (
        f"A\n\n{ONE}\nB < c\n{TWO} end\n",
        "A\n\nB < c end\n",
        [("weather", ARGUMENTS), ("time", "{}")],
    ),
    ("a <tool_ b <tool_call", "a <tool_ b <tool_call", []),
    ("<tool_call>\n{bad}\n</tool_call>", "<tool_call>\n{bad}\n</tool_call>", []),
    ('\n<tool_call>{"name": "other", "arguments": {}}', "", None),
    (f"<tool_call> <tool_call>x\n{TWO}", "<tool_call> <tool_call>x", [("time", "{}")]),
    (f"<tool_call>{'y' * 1200}{TWO}", f"<tool_call>{'y' * 1200}", [("time", "{}")]),
    (
        '<tool_call>{"name":"time","arguments":{"é": "雪"}}</tool_call>',
        "",
        [("time", '{"é": "雪"}')],
    ),
    ('<tool_call>\n{"name": "time", "arguments": {}}', "", [("time", "{}")]),
]


@pytest.mark.parametrize(("written", "text", "calls"), CASES)
def test_wherever_it_is_split(written: str, text: str, calls: list[tuple[str, str]] | None) -> None:
    if calls is None:  # a call of no known tool is text
        text, calls = written, []
    assert read([written]) == (text, calls)
    assert read(list(written)) == (text, calls)
    for place in range(len(written)):
        assert read([written[:place], "", written[place:]]) == (text, calls)
    chosen = random.Random(7)
    for _ in range(50):
        places = sorted(chosen.sample(range(len(written)), min(5, len(written))))
        ends = [0, *places, len(written)]
        pieces = [written[a:b] for a, b in pairwise(ends)]
        assert read(pieces) == (text, calls)


def test_a_name_is_known_before_its_arguments_which_come_piece_by_piece() -> None:
    parser = ToolCallParser(NAMES)
    pieces = [
        "Hm.\n<tool",
        '_call>\n{"name": "ti',
        'me"',
        ', "arguments": {"a"',
        ": 1",
        "}}\n</tool",
    ]
    seen = [list(parser.push(TextDelta(piece))) for piece in pieces]
    assert seen == [
        [TextDelta("Hm.")],
        [],
        [ToolCallDelta(0, "time")],
        [ToolCallDelta(0, arguments='{"a"')],
        [ToolCallDelta(0, arguments=": 1")],
        [ToolCallDelta(0, arguments="}")],
    ]
    assert parser.calls == []
    assert list(parser.push(TextDelta("_call>"))) == []
    assert parser.calls == [Call("time", '{"a": 1}')]


def test_tokens_of_text_are_kept_and_those_of_calls_are_not() -> None:
    parser = ToolCallParser(NAMES)
    said = [TokenLogprob(number, "-", -0.1) for number in range(9)]
    pieces = ["a", "", "<", "b", "\n", "<tool_call>", TWO[11:], "\n", "c"]
    told: list[Delta] = []
    for number, piece in enumerate(pieces):
        told += parser.push(TextDelta(piece, (number,), (said[number],)))
    told += parser.finish(cut=False)
    texts = [delta for delta in told if isinstance(delta, TextDelta)]
    assert [(delta.text, delta.token_ids) for delta in texts] == [
        ("a", (0,)),
        ("", (1,)),
        ("<b", (2, 3)),
        ("\nc", (7, 8)),
    ]
    assert all(d.logprobs == tuple(said[i] for i in d.token_ids) for d in texts)


@pytest.mark.parametrize(
    "written",
    [
        '<tool_call>{"name": "time"}</tool_call>',
        '<tool_call>{"name": "time", "arguments": []}</tool_call>',
        '<tool_call>{"name": "time", "arguments": {]}',
        '<tool_call>{"name": "time", "arguments": {"a": NaN}}</tool_call>',
        '<tool_call>{"name": "time", "arguments": {"a" 1}}</tool_call>',
        '<tool_call>{"name": "time", "arguments": {}, "more": 1}</tool_call>',
        '<tool_call>{"name": "time", "arguments": {"a": ',
        '<tool_call>{"name": "time", ',
    ],
)
def test_a_call_that_breaks_after_its_name_is_an_error(written: str) -> None:
    for pieces in ([written], list(written)):
        with pytest.raises(GenerationFailed) as failed:
            read(pieces)
        assert failed.value.code == "invalid_output"


def test_a_call_cut_by_the_length_ends_where_it_was_cut() -> None:
    begun = '<tool_call>{"name": "time", "arguments": {"a": '
    assert read([begun], cut=True) == ("", [("time", '{"a": ')])
