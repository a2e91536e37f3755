"""Keeps one answer to its constraint, token by token, and brings it to a valid end in its budget.

Before a token is taken, a valid end after it is known that fits into the tokens then left; where
none is found the token is refused, and in the last resort the end known before is written out. So
an answer is never cut. Draws nothing (sampler.py) and compiles nothing (compiled.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from llguidance import LLMatcher
from torch import Tensor

from qwen_webui.engines.compiled import Compiled, Grammars
from qwen_webui.engines.room import budget_too_small
from qwen_webui.errors import GenerationFailed
from qwen_webui.structured.alphabet import Alphabet
from qwen_webui.structured.closing import QUICK, fresh_end
from qwen_webui.structured.names import Names
from qwen_webui.types import Constraint, ConstraintKind, FinishReason

# Symbols of the end known before that the last token may have made superfluous.
SKIPPED = 16
# A token says no more than this many symbols on the average of an end: longer ones do not fit.
SYMBOLS_A_TOKEN = 16
# Steps spent on making an end shorter while the model waits: some milliseconds.
EFFORT = 1_000

Plan = tuple[int, ...]


class Guide:
    """For one request, in the thread that generates. `room` is how many tokens it may have."""

    def __init__(
        self,
        compiled: Compiled,
        alphabet: Alphabet,
        kind: ConstraintKind,
        stop_ids: tuple[int, ...],
        room: int,
        device: torch.device,
    ) -> None:
        self._matcher: LLMatcher = compiled.matcher.deep_copy()
        self._follower: LLMatcher = compiled.follower.deep_copy()
        self._alphabet = alphabet
        self._kind = kind
        self._stop_ids = stop_ids
        self._room = room
        self._plan: Plan = compiled.plan
        self._names = compiled.names.copy()
        self._hints = compiled.hints
        self._closing: deque[int] | None = None
        self._empty_close = False
        self._refused = False
        self._bits = _Bits(compiled.size, device)
        if not self._fits((), self._plan, room):
            raise budget_too_small(len(alphabet.tokens(self._plan)), room)

    @property
    def closing(self) -> bool:
        """Whether the rest is settled: nothing is to be drawn any more."""
        return self._closing is not None

    @property
    def complete(self) -> bool:
        """Whether nothing can follow, so that the answer ends here."""
        if self._closing is not None:
            return not self._closing and not self._empty_close
        return self._matcher.is_stopped() and not self._matcher.is_error()

    @property
    def failed(self) -> bool:
        """Whether the matcher gave up; what it shares is of no use to others then."""
        return self._matcher.is_error() or self._follower.is_error()

    def look(self) -> int | None:
        """See what may come next; the token itself where only one may. Tokens that end a turn are
        allowed exactly where the answer is valid as it stands."""
        allowed, only = self._bits.read(self._matcher)
        if not allowed or self._matcher.is_error():
            raise _gave_up(self._matcher)
        return only

    def allowed(self) -> Tensor:
        """What the last look saw: one bit a token, 32 an int32, on the host."""
        return self._bits.seen()

    def masked(self, scores: Tensor) -> Tensor:
        """`scores`, [1, vocabulary], minus infinity where the last look saw the token forbidden."""
        return self._bits.masked(scores)

    def take(self, token: int) -> bool:
        """Take a token that was drawn; False if no valid end after it is known that fits."""
        if token in self._stop_ids:
            return True
        symbols = self._alphabet.symbols(token)
        after = self._follower.deep_copy()
        if not symbols or not after.consume_tokens(list(symbols)):
            return False
        if not self._names.allows(bytes(symbols)):
            return False
        names = self._names.copy()
        names.take(bytes(symbols))
        plan = self._end_after(token, symbols, after, names)
        if plan is None:
            self._refused = True
            return False
        self._consume(token)
        self._follower, self._plan, self._names = after, plan, names
        return True

    def close(self) -> int:
        """The next token of the end that is known; from now on there is no other."""
        if self._closing is None:
            self._closing = deque(self._written((), self._plan, self._room))
            self._empty_close = not self._closing
        if not self._closing:
            return self._stop_ids[0]
        token = self._closing.popleft()
        self._consume(token)
        return token

    def ending(self, reason: FinishReason) -> tuple[FinishReason, bool]:
        """What Finished says of an answer that ended with `reason`: its reason, and whether it
        was brought to its end early. Free text around tool calls may be cut as any text."""
        if self._closing is None:
            cut = reason == "length" and self._kind != "tools"
            return ("stop", True) if cut else (reason, self._refused and reason == "stop")
        if self._empty_close and self._kind == "tools":
            return "length", False
        return "stop", True

    def _consume(self, token: int) -> None:
        if not self._matcher.consume_token(token):
            raise _gave_up(self._matcher)
        self._room -= 1

    def _end_after(
        self, token: int, symbols: Sequence[int], after: LLMatcher, names: Names
    ) -> Plan | None:
        """A valid end for `after`, the state that `token` leads to."""
        room = self._room - 1
        for plan in self._guesses(symbols, after):
            if names.allows(bytes(plan)) and self._fits((token,), plan, room):
                return plan
        found = fresh_end(after, self._alphabet, names, QUICK, 0, self._hints)
        if found is not None and not self._fits((token,), found, room):
            found = fresh_end(after, self._alphabet, names, QUICK, EFFORT, self._hints)
        if after.is_error():
            raise _gave_up(after)
        return found if found is not None and self._fits((token,), found, room) else None

    def _guesses(self, symbols: Sequence[int], after: LLMatcher) -> Iterator[Plan]:
        """Ends made of the one known before: most tokens change nothing in it, or begin it."""
        if self._plan[: len(symbols)] == symbols:
            yield self._plan[len(symbols) :]
        for skipped in range(min(SKIPPED, len(self._plan)) + 1):
            rest = self._plan[skipped:]
            if after.validate_tokens([*rest, self._alphabet.end]) == len(rest) + 1:
                yield rest
                return

    def _fits(self, first: tuple[int, ...], plan: Plan, room: int) -> bool:
        """Whether `plan` after the tokens `first` takes at most `room` tokens."""
        if len(plan) <= room:
            return True
        return len(plan) <= SYMBOLS_A_TOKEN * room and len(self._written(first, plan, room)) <= room

    def _written(self, first: tuple[int, ...], plan: Plan, room: int) -> tuple[int, ...]:
        """The tokens of `plan`, in few where the grammar takes those."""
        tokens = self._alphabet.tokens(plan)
        said = [*first, *tokens, self._stop_ids[0]]
        if len(tokens) <= room and self._matcher.validate_tokens(said) == len(said):
            return tokens
        return self._alphabet.spelled(plan)


class _Bits:
    """One bit a token, and what it takes to lay them over scores; the buffers are used again."""

    def __init__(self, size: int, device: torch.device) -> None:
        words = (size + 31) // 32
        pinned = device.type == "cuda"
        self._here = torch.zeros(words, dtype=torch.int32, pin_memory=pinned)
        self._words = self._here.numpy()
        self._there = torch.zeros(words, dtype=torch.int32, device=device)
        self._shifts = torch.arange(8, dtype=torch.uint8, device=device)

    def read(self, matcher: LLMatcher) -> tuple[bool, int | None]:
        """Whether anything is allowed, and the token where only one is."""
        matcher.unsafe_compute_mask_ptr(self._here.data_ptr(), 4 * self._here.numel())
        places = np.flatnonzero(self._words)
        if len(places) != 1:
            return len(places) > 0, None
        word = int(self._words[places[0]]) & 0xFFFFFFFF
        return True, 32 * int(places[0]) + word.bit_length() - 1 if word.bit_count() == 1 else None

    def seen(self) -> Tensor:
        """A copy of its own."""
        return self._here.clone()

    def masked(self, scores: Tensor) -> Tensor:
        # The wait for the drawn token keeps the next mask from being written too early.
        self._there.copy_(self._here, non_blocking=True)
        bits = (self._there.view(torch.uint8).unsqueeze(1) >> self._shifts) & 1
        allowed = bits.view(torch.bool).view(1, -1)[:, : scores.shape[1]]
        return torch.where(allowed, scores, -torch.inf)


@contextmanager
def guiding(
    grammars: Grammars,
    constraint: Constraint | None,
    stop_ids: tuple[int, ...],
    room: int,
    device: torch.device,
) -> Iterator[Guide | None]:
    """What keeps an answer of at most `room` tokens to `constraint`, for as long as it takes."""
    if constraint is None:
        yield None
        return
    with grammars.lent(constraint) as compiled:
        _, alphabet = grammars.vocabulary()
        yield Guide(compiled, alphabet, constraint.kind, stop_ids, room, device)


def _gave_up(matcher: LLMatcher) -> GenerationFailed:
    said = matcher.get_error() or ""
    complex_ = any(word in said for word in ("too many", "too complex", "limit", "fuel"))
    why = "it is too complex" if complex_ else "the grammar engine lost its way"
    return GenerationFailed(
        f"The answer could not be held to its constraint: {why}. Simplify the schema or "
        "expression and send the request again.",
        code="constraint_failed",
    )
