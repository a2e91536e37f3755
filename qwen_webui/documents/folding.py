"""Text made comparable: white space, hyphens at line ends, width, quotes, case and marks folded.

Remembers where each character came from. What changes a meaning (digits, signs, words) stays.
"""

from __future__ import annotations

import functools
import unicodedata
from array import array
from dataclasses import dataclass

# Marks of Markdown, of tables and of quoting; models and extraction add and drop them.
_DROPPED = frozenset("|*#`\"'“”„‟‘’‚‛«»「」『』‹›")
_HYPHENS = frozenset("-\u2010\u2011")
_SAME = {
    "。": ".",
    "、": ",",
    "–": "-",
    "—": "-",
    "−": "-",
    "\u2010": "-",
    "\u2011": "-",
    "…": "...",
}


@dataclass(frozen=True)
class Folded:
    """`text` is compared; character i of it comes from character `places[i]` of `source`."""

    source: str
    text: str
    places: array[int]

    def find(self, wanted: str, start: int = 0) -> tuple[int, int] | None:
        """Where folded `wanted` stands in `source`: never from or to the middle of a word or
        number."""
        if not wanted:
            return None
        while (found := self.text.find(wanted, start)) >= 0:
            first = self.places[found]
            last = self.places[found + len(wanted) - 1] + 1
            if not _cut(self.source, first) and not _cut(self.source, last):
                return first, last
            start = found + 1
        return None


def fold(text: str) -> Folded:
    """Takes about 0.5 ms a page."""
    pieces: list[str] = []
    places = array("l")
    for place, char in enumerate(text):
        if char in _HYPHENS and _between_letters(text, place):
            continue
        piece = _folded(char)
        if piece:
            pieces.append(piece)
            places.extend([place] * len(piece))
    return Folded(text, "".join(pieces), places)


@functools.lru_cache(maxsize=20_000)
def _folded(char: str) -> str:
    if char.isspace() or char in _DROPPED or unicodedata.category(char) in ("Cf", "Cc"):
        return ""
    plain = unicodedata.normalize("NFKC", char)
    return "".join(_SAME.get(item, item) for item in plain if item not in _DROPPED).casefold()


def _between_letters(text: str, place: int) -> bool:
    """A hyphen inside a word, which may go on in the next line."""
    if place == 0 or not text[place - 1].isalpha():
        return False
    after = text[place + 1 : place + 12].lstrip()
    return bool(after) and after[0].isalpha()


def _cut(text: str, place: int) -> bool:
    """Whether a border at `place` would go through a word or a number."""
    before, after = text[max(place - 1, 0) : place], text[place : place + 1]
    if not before or not after:
        return False
    if before.isdigit() and after in ".,:" and text[place + 1 : place + 2].isdigit():
        return True
    if before in "-−.," and after.isdigit():
        # "-5" is not "5", and "1,912" is not "912"; the dash of "1990-95" is no sign.
        further = text[max(place - 2, 0) : place - 1]
        return further.isdigit() or before in "-−"
    return _same_word(before, after)


def _same_word(before: str, after: str) -> bool:
    if before.isdigit() and after.isdigit():
        return True
    # Chinese has no blanks between words: any border may be one.
    return before.isalpha() and after.isalpha() and max(before, after) < "\u2e80"
