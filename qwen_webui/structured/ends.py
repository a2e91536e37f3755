"""A short end of an answer that also writes no name twice in one object.

closing.py finds what a grammar accepts; where that would write a name again, the name is made
longer by a letter and the end is looked for from there.
"""

from __future__ import annotations

from collections.abc import Sequence

from llguidance import LLMatcher

from qwen_webui.structured.alphabet import Alphabet
from qwen_webui.structured.closing import EFFORT, THOROUGH, shortest
from qwen_webui.structured.names import Names

_LETTERS = b"abcdefghijklmnopqrstuvwxyz0123456789"
MAX_NAMES = 100


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
