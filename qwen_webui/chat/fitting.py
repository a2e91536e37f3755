"""Which part of a conversation fits the context: whole turns, the oldest left out first.

A turn is a user message and all that follows until the next one. Tokens are counted turn by turn
and remembered, so that a long conversation costs the tokens of its newest turn. Pure but for that
memory; safe in several threads. Engines and personas are unknown here.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import LeftOut, Message

Turn = tuple[Message, ...]
Tools = Sequence[Mapping[str, Any]]

# Turns whose counts are remembered, of all conversations together: 16 bytes and a number each.
REMEMBERED_TURNS = 16_384
# Before a turn that is counted alone: every template allows this beginning.
_ANCHOR = (Message("user", "."), Message("assistant", "."))


@dataclass(frozen=True)
class Fitted:
    """What to send: `tokens` in all, `base` of them without the history."""

    messages: tuple[Message, ...]
    tokens: int
    base: int
    left_out: LeftOut


def split_turns(history: Sequence[Message]) -> list[Turn]:
    """The history in turns; what stands before the first user message is one of its own."""
    turns: list[list[Message]] = []
    for message in history:
        if message.role == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    return [tuple(turn) for turn in turns]


class Fitter:
    """Fits conversations, and remembers what their turns cost with the tokenizer used last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokenizer: ChatTokenizer | None = None
        self._anchor = 0
        self._costs: OrderedDict[bytes, int] = OrderedDict()

    def fit(
        self,
        tokenizer: ChatTokenizer,
        frame: tuple[Turn, Message],
        history: Sequence[Message],
        tools: Tools,
        budget: int | None,
    ) -> Fitted:
        """The newest turns of `history` that fit `budget` tokens with `frame`: what comes before
        (system) and after (the new text) the history, which is never left out, fit or not.
        Without a budget nothing is left out. Takes time for a long, new history: use a thread.
        """
        before, text = frame
        base = tokenizer.count_chat((*before, text), tools)
        turns = split_turns(history)
        costs = [self.cost(tokenizer, turn) for turn in turns]
        total, first = base + sum(costs), 0
        while budget is not None and first < len(turns):
            if total > budget - budget // 16 and total <= budget:
                # Turn counts add up in ChatML; near the edge, another template's word counts.
                total = tokenizer.count_chat(_join(before, turns[first:], text), tools)
            if total <= budget:
                break
            total -= costs[first]
            first += 1
        return Fitted(
            messages=_join(before, turns[first:], text),
            tokens=total,
            base=base,
            left_out=LeftOut(first, sum(costs[:first])),
        )

    def cost(self, tokenizer: ChatTokenizer, turn: Turn) -> int:
        """Tokens that `turn` adds to a conversation."""
        key = hashlib.blake2b(
            repr(turn).encode("utf-8", "backslashreplace"), digest_size=16
        ).digest()
        with self._lock:
            if self._tokenizer is not tokenizer:
                self._tokenizer = tokenizer
                self._anchor = tokenizer.count_chat(_ANCHOR)
                self._costs.clear()
            anchor = self._anchor
            if key in self._costs:
                self._costs.move_to_end(key)
                return self._costs[key]
        cost = tokenizer.count_chat((*_ANCHOR, *turn)) - anchor
        with self._lock:
            if self._tokenizer is tokenizer:
                self._costs[key] = cost
                if len(self._costs) > REMEMBERED_TURNS:
                    self._costs.popitem(last=False)
        return cost


def _join(before: Turn, turns: Sequence[Turn], text: Message) -> tuple[Message, ...]:
    return (*before, *(message for turn in turns for message in turn), text)
