"""Hermes text to tool calls, as it streams: what is said, and what is called.

    Let me look.
    <tool_call>
    {"name": "get_time", "arguments": {"city": "Oslo"}}
    </tool_call>

The exact inverse of what Qwen's chat template writes. Whether arguments fit their tool's schema is
not decided here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from qwen_webui.errors import GenerationFailed
from qwen_webui.structured.tools import CLOSING, OPENING
from qwen_webui.types import TextDelta, TokenLogprob, ToolCallDelta

# What may stand between the opening mark and a name; longer is no call.
MAX_HEAD = 1_000
_TAIL = "}" + CLOSING
_BROKEN = (
    "The model began to call a tool and then wrote something that is no call. Send the request "
    "again, or with a lower temperature."
)

_NAME = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\\x00-\x1f]|\\.)*")')
_ARGUMENTS = re.compile(r'\s*,\s*"arguments"\s*:\s*(?=\{)')
_INSIDE = re.compile(r'["\\{}\[\]]')
_OPENS, _CLOSES = "{[", "}]"

Delta = TextDelta | ToolCallDelta
# Deltas, and then the text that another state is to read; None once all is read.
Reading = Generator[Delta, None, str | None]


@dataclass(frozen=True)
class Call:
    """A call that is complete. `arguments` is the JSON text of an object, as it was written."""

    name: str
    arguments: str


class ToolCallParser:
    """One answer's text in, TextDelta and ToolCallDelta out, each as soon as it is known.

    One line end before a call and white space after it belong to the form, not to the text. A call
    of none of `names`, or one that breaks before its name is whole, is plain text. What breaks
    later raises GenerationFailed: its beginning has been passed on already.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)
        self._parts: list[str] = []  # of the arguments
        self._state: _Text | _Head | _Arguments | _Tail = _Text(after_call=False)
        self._begun = 0
        self.calls: list[Call] = []
        self._name = ""

    @property
    def begun(self) -> int:
        """Calls whose name is known."""
        return self._begun

    def push(self, delta: TextDelta) -> Iterator[Delta]:
        """What is known with `delta`. Token ids and log-probabilities of calls are dropped."""
        if isinstance(self._state, _Text):
            self._state.token_ids += delta.token_ids
            self._state.logprobs += delta.logprobs
        yield from self._read(delta.text)

    def finish(self, *, cut: bool) -> Iterator[Delta]:
        """What was held back. `cut`: the answer reached its length, so a call may be incomplete."""
        state = self._state
        if isinstance(state, _Head):
            yield from self._not_a_call(state)
            state = self._state
            if isinstance(state, _Head):  # another mark stood in it
                yield from self.finish(cut=cut)
                return
        if isinstance(state, _Text):
            yield from state.release(state.text if not state.only_space else "")
        elif isinstance(state, _Tail) and state.text.lstrip().startswith("}"):
            self._complete()  # nothing but the closing mark is missing
        elif not cut:
            raise GenerationFailed(_BROKEN, code="invalid_output")

    def _read(self, text: str) -> Iterator[Delta]:
        """`text` in the state that is reached, the rest of it in the next, and so on."""
        rest: str | None = text
        while rest is not None:
            match self._state:
                case _Text() as state:
                    rest = yield from self._in_text(state, rest)
                case _Head() as state:
                    rest = yield from self._in_head(state, rest)
                case _Arguments() as state:
                    rest = yield from self._in_arguments(state, rest)
                case _Tail() as state:
                    rest = self._in_tail(state, rest)

    def _in_text(self, state: _Text, text: str) -> Reading:
        state.text += text
        start = state.text.find(OPENING)
        if start < 0:
            yield from state.release(state.text[: state.sure])
            return None
        before, rest = state.text[:start], state.text[start + len(OPENING) :]
        spoken = "" if state.after_call and not before.strip() else before.removesuffix("\n")
        if spoken:
            yield from state.release(spoken)
        self._state = _Head(before[len(spoken) :])
        return rest

    def _in_head(self, state: _Head, text: str) -> Reading:
        state.text += text
        named = _NAME.match(state.text)
        if named is None:
            broken = len(state.text) > MAX_HEAD or CLOSING in state.text or OPENING in state.text
            if broken:
                yield from self._not_a_call(state)
            return None
        name = _read_name(named[1])
        if name not in self._names:
            yield from self._not_a_call(state)
            return None
        yield ToolCallDelta(self._begun, name)
        self._name, self._begun = name, self._begun + 1
        self._state, self._parts = _Arguments(), []
        return state.text[named.end() :]

    def _not_a_call(self, state: _Head) -> Iterator[Delta]:
        """Back to text; what stands behind the mark may hold another."""
        self._state = _Text(after_call=False)
        yield TextDelta(state.before + OPENING)
        yield from self._read(state.text)

    def _in_arguments(self, state: _Arguments, text: str) -> Reading:
        if not state.open:
            state.head += text
            begins = _ARGUMENTS.match(state.head)
            if begins is None:
                if not _may_begin(state.head):
                    raise GenerationFailed(_BROKEN, code="invalid_output")
                return None
            text = state.head[begins.end() :]
        end = state.end_of_object(text)
        piece = text if end is None else text[:end]
        if piece:
            self._parts.append(piece)
            yield ToolCallDelta(self._begun - 1, arguments=piece)
        if end is None:
            return None
        self._state = _Tail()
        return text[end:]

    def _in_tail(self, state: _Tail, text: str) -> str | None:
        state.text += text
        written = "".join(state.text.split())
        if not (written.startswith(_TAIL) or _TAIL.startswith(written)):
            raise GenerationFailed(_BROKEN, code="invalid_output")
        if not written.startswith(_TAIL):
            return None
        self._complete()
        rest = state.text[state.text.index(CLOSING) + len(CLOSING) :]
        self._state = _Text(after_call=True)
        return rest

    def _complete(self) -> None:
        arguments = "".join(self._parts)
        try:
            json.loads(arguments, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise GenerationFailed(_BROKEN, code="invalid_output") from error
        self.calls.append(Call(self._name, arguments))


class _Text:
    """Between calls. `text` is held back: it may be the beginning of a mark."""

    def __init__(self, *, after_call: bool) -> None:
        self.after_call = after_call
        self.text = ""
        self.token_ids: tuple[int, ...] = ()
        self.logprobs: tuple[TokenLogprob, ...] = ()

    @property
    def only_space(self) -> bool:
        """Nothing has been said since the last call."""
        return self.after_call and not self.text.strip()

    @property
    def sure(self) -> int:
        """How many characters of `text` belong to no mark."""
        if self.only_space:
            return 0
        for length in range(min(len(self.text), len(OPENING)), 0, -1):
            for mark in ("\n" + OPENING, OPENING):
                if mark.startswith(self.text[-length:]):
                    return len(self.text) - length
        return len(self.text)

    def release(self, text: str) -> Iterator[Delta]:
        """`text`, the beginning of what is held, with all that is known of its tokens. An empty
        piece is passed on only where nothing is held: a token that completes no character."""
        self.text = self.text[len(text) :]
        if not text and (self.text or not self.token_ids):
            return
        if text:
            self.after_call = False
        yield TextDelta(text, self.token_ids, self.logprobs)
        self.token_ids, self.logprobs = (), ()


class _Head:
    """After an opening mark, until a name is whole. `before`: the line end that came with it."""

    def __init__(self, before: str) -> None:
        self.before = before
        self.text = ""


class _Arguments:
    """From the name to the end of the arguments' object."""

    def __init__(self) -> None:
        self.head = ""
        self.open: list[str] = []
        self._in_string = False
        self._escaped = False

    def end_of_object(self, text: str) -> int | None:
        """Where in `text` the object ends, or None while it goes on. Brackets are paired here;
        the rest of the syntax is checked once it is whole."""
        place = 1 if self._escaped and text else 0
        self._escaped = self._escaped and not text
        while found := _INSIDE.search(text, place):
            mark, place = found.group(), found.end()
            if mark == '"':
                self._in_string = not self._in_string
            elif mark == "\\":
                self._escaped = place == len(text)
                place += 1
            elif self._in_string:
                continue
            elif mark in _OPENS:
                self.open.append(mark)
            elif _OPENS[_CLOSES.index(mark)] != self.open.pop():
                raise GenerationFailed(_BROKEN, code="invalid_output")
            elif not self.open:
                return place
        return None


class _Tail:
    """From the end of the arguments to the end of the closing mark."""

    def __init__(self) -> None:
        self.text = ""


def _may_begin(head: str) -> bool:
    """Whether what stands after a name can still become `, "arguments": {`."""
    return ',"arguments":'.startswith("".join(head.split()))


def _read_name(text: str) -> str | None:
    try:
        return str(json.loads(text))
    except ValueError:
        return None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
