"""Regular expressions that a backtracking engine can need exponential time for (ReDoS).

The engine that constrains takes linear time for every expression, but the final check, and whoever
reads the answer, use backtracking ones. An expression is refused when some text can be matched by
one of its loops in two ways: exponential ambiguity of its position automaton (Weber and Seidl,
1991), with loops inside loops counted as the ways they are. Counted repeats above MAX_COPIES count
as endless.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from re import _constants as sre  # type: ignore[attr-defined]
from typing import Any

from qwen_webui.structured.patterns import UnusablePattern, parsed, translated

MAX_COPIES = 16
MAX_POSITIONS = 400
MAX_PAIRS = 20_000
_SAMPLES = "09azAZ_ \n-@.\0é中٣\u3000😀"
_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    sre.CATEGORY_DIGIT: lambda c: c.isdecimal(),
    sre.CATEGORY_NOT_DIGIT: lambda c: not c.isdecimal(),
    sre.CATEGORY_SPACE: lambda c: c.isspace(),
    sre.CATEGORY_NOT_SPACE: lambda c: not c.isspace(),
    sre.CATEGORY_WORD: lambda c: c.isalnum() or c == "_",
    sre.CATEGORY_NOT_WORD: lambda c: not (c.isalnum() or c == "_"),
}
_TOO_COMPLICATED = "is too complicated to be sure that it is harmless. Use a shorter one"


def check_pattern(pattern: str, *, whole: bool) -> None:
    """Raises UnusablePattern for one that cannot be held or could hang its reader."""
    translated(pattern, whole=whole)
    if not any(mark in pattern for mark in "*+{"):
        return
    automaton = _Automaton(_samples(pattern))
    automaton.add(parsed(pattern))
    if automaton.ambiguous():
        raise UnusablePattern(
            "can match one text in very many ways, so that readers may hang on it. Write nested or "
            "neighbouring repetitions so that each character belongs to one only"
        )


def _samples(pattern: str) -> str:
    """Characters that tell every two classes of the expression apart where they differ."""
    near = {chr(code) for c in pattern for code in (ord(c) - 1, ord(c), ord(c) + 1) if code >= 0}
    return "".join(near | set(_SAMPLES))


@dataclass(frozen=True)
class _Part:
    """Positions a part can begin and end with, and whether it can be empty."""

    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    empty: bool = True


@dataclass
class _Automaton:
    """One state a position of a character; how often each follows each."""

    samples: str
    classes: list[frozenset[str]] = field(default_factory=list)
    follow: list[Counter[int]] = field(default_factory=list)

    def add(self, items: Any) -> _Part:
        """A sequence."""
        whole = _Part()
        for kind, argument in items:
            whole = self._joined(whole, self._one(kind, argument))
        return whole

    def _one(self, kind: Any, argument: Any) -> _Part:
        if kind is sre.AT:
            return _Part()
        if kind is sre.SUBPATTERN:
            return self.add(argument[3])
        if kind is sre.BRANCH:
            parts = [self.add(part) for part in argument[1]]
            return _Part(
                tuple(p for part in parts for p in part.first),
                tuple(p for part in parts for p in part.last),
                any(part.empty for part in parts),
            )
        if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            return self._repeat(*argument)
        return self._position(frozenset(c for c in self.samples if matches(kind, argument, c)))

    def _position(self, matched: frozenset[str]) -> _Part:
        if len(self.classes) >= MAX_POSITIONS:
            raise UnusablePattern(_TOO_COMPLICATED)
        self.classes.append(matched)
        self.follow.append(Counter())
        place = (len(self.classes) - 1,)
        return _Part(place, place, False)

    def _joined(self, one: _Part, other: _Part) -> _Part:
        for place in one.last:
            self.follow[place].update(other.first)
        return _Part(
            one.first + other.first if one.empty else one.first,
            one.last + other.last if other.empty else other.last,
            one.empty and other.empty,
        )

    def _repeat(self, least: int, most: Any, items: Any) -> _Part:
        endless = most is sre.MAXREPEAT or most > MAX_COPIES
        needed = min(least, MAX_COPIES // 2 if endless else MAX_COPIES)
        whole = _Part()
        for _ in range(needed):
            whole = self._joined(whole, self.add(items))
        if endless:
            loop = self.add(items)
            for place in loop.last:
                self.follow[place].update(loop.first)
            return self._joined(whole, _Part(loop.first, loop.last, True))
        optional = _Part()
        for _ in range(int(most) - needed):
            # Nested, as in a(a(a)?)?: each one only after the one before.
            inner = self.add(items)
            for place in inner.last:
                self.follow[place].update(optional.first)
            optional = _Part(inner.first, inner.last + optional.last, True)
        return self._joined(whole, optional)

    def ambiguous(self) -> bool:
        """Whether a loop can read some text in two ways."""
        group = _components(range(len(self.follow)), lambda place: self.follow[place])
        inside: dict[int, list[int]] = {}
        for place, after in enumerate(self.follow):
            inside[place] = [n for n in after if group[n] == group[place]]
            if any(after[n] > 1 for n in inside[place]):
                return True
        pairs: dict[tuple[int, int], list[tuple[int, int]]] = {}
        open_pairs = [(place, place) for place in inside if inside[place]]
        while open_pairs:
            pair = open_pairs.pop()
            if pair in pairs:
                continue
            if len(pairs) > MAX_PAIRS:
                raise UnusablePattern(_TOO_COMPLICATED)
            one, other = pair
            pairs[pair] = [
                (a, b)
                for a in inside[one]
                for b in inside[other]
                if self.classes[a] & self.classes[b]
            ]
            open_pairs += pairs[pair]
        loops = _components(pairs, pairs.__getitem__)
        same = {loops[pair] for pair in pairs if pair[0] == pair[1]}
        return any(pair[0] != pair[1] and loops[pair] in same for pair in pairs)


def matches(kind: Any, argument: Any, character: str) -> bool:
    """Whether one item of an expression that is about one character matches that one."""
    code = ord(character)
    if kind is sre.LITERAL:
        return bool(code == argument)
    if kind is sre.NOT_LITERAL:
        return bool(code != argument)
    if kind is sre.ANY:
        return character != "\n"
    if kind is sre.RANGE:
        return bool(argument[0] <= code <= argument[1])
    if kind is sre.CATEGORY:
        return bool(_CATEGORIES[argument](character))
    negated = argument[0][0] is sre.NEGATE
    items = argument[1:] if negated else argument
    return negated != any(matches(kind, value, character) for kind, value in items)


def _components(nodes: Any, after: Any) -> dict[Any, int]:
    """The strongly connected component of each node (Tarjan's algorithm, without recursion)."""
    found: dict[Any, int] = {}
    number: dict[Any, int] = {}
    low: dict[Any, int] = {}
    stack: list[Any] = []
    for start in nodes:
        if start in number:
            continue
        number[start] = low[start] = len(number)
        stack.append(start)
        work = [(start, iter(after(start)))]
        while work:
            node, following = work[-1]
            for other in following:
                if other not in number:
                    number[other] = low[other] = len(number)
                    stack.append(other)
                    work.append((other, iter(after(other))))
                    break
                if other not in found:
                    low[node] = min(low[node], number[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == number[node]:
                    while True:
                        member = stack.pop()
                        found[member] = number[node]
                        if member == node:
                            break
    return found
