"""A short valid end of an answer that has begun: the symbols that lead a grammar to acceptance.

Works on bytes, not on a model's tokens: 256 of them are cheap to try, and every vocabulary spells
with them. A greedy walk closes what is open; where that fails or is long, its decisions are
varied, fewest variations first. Where an end would write a name twice in one object, the name is
made longer by a letter and the end is looked for from there. The result is short, not proven
shortest. Bounded work, counted in steps and not in time, so that every process finds the same end.
Imports no torch.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from llguidance import LLMatcher

from qwen_webui.structured.alphabet import Alphabet
from qwen_webui.structured.names import Names

# Rounds of the search: symbols of the longest end that is looked for, and steps of work if none
# is found. Most ends are short, and a walk that closes nothing must not run far before another
# is tried. A step is one symbol taken or one mask looked at: a microsecond or two.
QUICK = ((256, 3_000), (4_096, 12_000))
THOROUGH = (*QUICK, (65_536, 60_000), (512, 20_000))
# Steps that may be spent on making a first end shorter.
EFFORT = 10_000
# Without an end in sight, the walk looks at what each next symbol leads to, at most this often.
MOST_PATIENCE = 16
BACKSLASH = 0x5C
# One may follow another, the same allowed before and after, and yet each is a step forward.
ENDS_OF_LEVELS = frozenset(b"}]")
LONG_RUN = 16
MOST_TRIES = 128
# Of names made longer because they stand in their object already.
MAX_NAMES = 100
_LETTERS = b"abcdefghijklmnopqrstuvwxyz0123456789"


def shortest(
    state: LLMatcher,
    alphabet: Alphabet,
    rounds: Sequence[tuple[int, int]] = THOROUGH,
    effort: int = EFFORT,
    hints: Sequence[bytes] = (),
) -> tuple[int, ...] | None:
    """Symbols after which the grammar accepts; () where it accepts already, None if no end was
    found. `state` is a matcher of `alphabet` and stays as it is. With an `effort` of
    0 the first end that is found is taken. `hints`: texts whose ends may lead on (hints.py)."""
    if state.is_accepting():
        return ()
    for most, work in rounds:
        if (found := _Search(state, alphabet, most, work, effort, hints).run()) is not None:
            return tuple(_with_short_runs(state, alphabet, found))
    return None


def fresh_end(
    state: LLMatcher,
    alphabet: Alphabet,
    names: Names,
    rounds: Sequence[tuple[int, int]] = THOROUGH,
    effort: int = EFFORT,
    hints: Sequence[bytes] = (),
) -> tuple[int, ...] | None:
    """As `shortest`, with no name twice; None when no such end was found."""
    path: tuple[int, ...] = ()
    state, names = state.deep_copy(), names.copy()
    for _ in range(MAX_NAMES):
        end = shortest(state, alphabet, rounds, effort, hints)
        if end is None:
            return None
        place = _first_twice(end, names)
        if place is None:
            return path + end
        other = _longer_name(end[:place], state, names)
        if other is None:
            return None
        state.consume_tokens(list(other))
        names.take(bytes(other))
        path += other
    return None


def _first_twice(end: tuple[int, ...], names: Names) -> int | None:
    """Where in `end` the quote stands that completes a name for the second time."""
    names = names.copy()
    for place, symbol in enumerate(end):
        if not names.allows(bytes([symbol])):
            return place
        names.take(bytes([symbol]))
    return None


def _longer_name(before: tuple[int, ...], state: LLMatcher, names: Names) -> tuple[int, ...] | None:
    """`before` and one more letter, where the grammar takes one: at its end, else earlier."""
    for cut in range(len(before), -1, -1):
        for letter in _LETTERS:
            path = (*before[:cut], letter)
            fits = state.validate_tokens(list(path)) == len(path)
            if fits and path != before[: cut + 1] and names.allows(bytes(path)):
                return path
    return None


def needed_tokens(grammar: str, alphabet: Alphabet, hints: Sequence[bytes] = ()) -> int | None:
    """Tokens of a short whole answer; 0 if an empty one is valid, None if none was found."""
    end = shortest(alphabet.matcher(grammar), alphabet, hints=hints)
    return None if end is None else len(alphabet.tokens(end))


def _with_short_runs(state: LLMatcher, alphabet: Alphabet, path: list[int]) -> list[int]:
    """`path` with long runs of one symbol as short as the grammar takes them: where a pattern may
    begin anywhere in a text, the walk only meets it when the text may hold no more before it."""
    place = 0
    while place < len(path):
        end = place
        while end < len(path) and path[end] == path[place]:
            end += 1
        if end - place >= LONG_RUN:
            for length in range(min(end - place, MOST_TRIES)):
                shorter = path[: place + length] + path[end:]
                if state.validate_tokens([*shorter, alphabet.end]) == len(shorter) + 1:
                    path, end = shorter, place + length
                    break
        place = max(end, place + 1)
    return path


@dataclass(order=True)
class _Branch:
    """A decision at `place` of a walk's path that may be taken otherwise. Branches share paths: a
    long walk has as many decisions as symbols."""

    variations: int
    place: int
    path: list[int] = field(compare=False)
    mask: bytes = field(compare=False)


class _Search:
    """Walks from one state, at most `most` symbols far."""

    def __init__(
        self,
        root: LLMatcher,
        alphabet: Alphabet,
        most: int,
        work: int,
        effort: int,
        hints: Sequence[bytes],
    ) -> None:
        self._root = root
        self._alphabet = alphabet
        self._most = most
        self._left = work
        self._effort = effort
        self._hints = hints
        self._best: list[int] | None = None
        self._branches: list[_Branch] = []
        self._seen: set[tuple[int, bytes]] = set()

    def run(self) -> list[int] | None:
        """The best end found."""
        for end in self._ends_of_hints(self._root):
            if self._root.validate_tokens([*end, self._alphabet.end]) > len(end):
                self._found(list(end))
        self._walk([], 0)
        while self._branches and self._left > 0:
            branch = heapq.heappop(self._branches)
            if branch.place + 1 < self._limit:
                for symbol in self._others(branch):
                    self._walk([*branch.path[: branch.place], symbol], branch.variations + 1)
        return self._best

    @property
    def _limit(self) -> int:
        return self._most if self._best is None else len(self._best) - 1

    def _walk(self, path: list[int], variations: int) -> None:
        """Extend `path` greedily until the grammar accepts, and note the decisions on the way."""
        state = self._at(path)
        before = b""
        wait = patience = 1
        decisions: list[tuple[int, bytes]] = []
        while not state.is_accepting():
            if len(path) >= self._limit or self._left <= 0:
                break
            symbols: Sequence[int] = state.compute_ff_bytes()
            if not symbols:
                mask = state.compute_bitmask()
                symbol = self._alphabet.best(mask, before)
                if symbol is None:
                    break
                symbols = (symbol,)
                decisions.append((len(path), mask))
                if mask == before and symbol not in ENDS_OF_LEVELS:
                    wait -= 1
                    if not wait:
                        wait = patience = min(2 * patience, MOST_PATIENCE)
                        symbols = self._forward(state, mask) or symbols
                before = mask
            self._left -= 1 + len(symbols) // 8
            if not state.consume_tokens(list(symbols)):
                break
            path.extend(symbols)
        else:
            self._found(path)
        for place, mask in decisions:
            if (place, mask) not in self._seen:
                self._seen.add((place, mask))
                heapq.heappush(self._branches, _Branch(variations, place, path, mask))

    def _found(self, path: list[int]) -> None:
        if self._best is None:
            self._left = self._effort
        if self._best is None or len(path) < len(self._best):
            self._best = path

    def _forward(self, state: LLMatcher, mask: bytes) -> tuple[int, ...]:
        """A symbol, else the end of a hint, after which something is allowed that is not allowed
        now. Escapes and longer characters always promise that and keep nothing of it."""
        now = int.from_bytes(mask, "little")
        for symbol, after, accepting in self._following(state, mask):
            then = int.from_bytes(after[: len(mask)], "little")
            if accepting or (then & ~now and then & now and symbol != BACKSLASH):
                return (symbol,)
        for end in self._ends_of_hints(state):
            there = self._after(state, end)
            if there.is_accepting() or int.from_bytes(there.compute_bitmask(), "little") & ~now:
                return end
        return ()

    def _ends_of_hints(self, state: LLMatcher) -> Iterator[tuple[int, ...]]:
        """Those that the grammar allows next, the shortest of each hint first."""
        for hint in self._hints:
            for start in range(len(hint) - 1, -1, -1):
                self._left -= 1
                end = tuple(hint[start:])
                if state.validate_tokens(list(end)) == len(end):
                    yield end

    def _others(self, branch: _Branch) -> Iterator[int]:
        """One symbol of each kind at that decision: those after which the grammar allows the same
        are alike."""
        state = self._at(branch.path[: branch.place])
        kinds: set[tuple[bytes, bool]] = set()
        for symbol, after, accepting in self._following(state, branch.mask):
            if (after, accepting) not in kinds:
                kinds.add((after, accepting))
                yield symbol

    def _following(self, state: LLMatcher, mask: bytes) -> Iterator[tuple[int, bytes, bool]]:
        """Each symbol that `mask` allows, and what the grammar allows after it."""
        for symbol in self._alphabet.order(mask):
            self._left -= 1
            if self._left <= 0 or not state.consume_token(symbol):
                return
            after, accepting = state.compute_bitmask(), state.is_accepting()
            if len(self._alphabet.order(after)) == 1:
                after += state.compute_ff_bytes()
            state.rollback(1)
            yield symbol, after, accepting

    def _at(self, path: list[int]) -> LLMatcher:
        return self._after(self._root, path) if path else self._root.deep_copy()

    def _after(self, state: LLMatcher, symbols: Sequence[int]) -> LLMatcher:
        """A state of its own, `symbols` after `state`."""
        self._left -= 1 + len(symbols) // 8
        after = state.deep_copy()
        after.consume_tokens(list(symbols))
        return after
