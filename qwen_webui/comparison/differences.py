"""Where two answers differ, word by word. Standard library only.

Says what was kept, added and removed; how that is shown is the page's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

ChangeKind = Literal["same", "added", "removed"]
# Words and runs of white space; of scripts that put no space between words, each character.
_PARTS = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]|\w+|\s+|[^\w\s]")
# Beyond this a comparison would take seconds: what follows the common beginning counts as changed.
MOST_PARTS = 8_000


@dataclass(frozen=True)
class Change:
    """A stretch of text. "same" stands in both, "added" only in the text, "removed" only in the
    reference."""

    kind: ChangeKind
    text: str


def changes(reference: str, text: str) -> tuple[Change, ...]:
    """How `text` comes out of `reference`. The pieces that are not "removed" make up `text`, those
    that are not "added" make up `reference`."""
    if reference == text:
        return (Change("same", text),) if text else ()
    ours, theirs = _PARTS.findall(reference), _PARTS.findall(text)
    found: list[Change] = []
    start = _common(ours, theirs)
    _add(found, "same", ours[:start])
    ours, theirs = ours[start:], theirs[start:]
    if len(ours) + len(theirs) > MOST_PARTS:
        _add(found, "removed", ours)
        _add(found, "added", theirs)
        return tuple(found)
    for kind, a, b, c, d in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if kind == "equal":
            _add(found, "same", ours[a:b])
            continue
        _add(found, "removed", ours[a:b])
        _add(found, "added", theirs[c:d])
    return tuple(found)


def _common(ours: list[str], theirs: list[str]) -> int:
    pairs = zip(ours, theirs, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(theirs)))


def _add(found: list[Change], kind: ChangeKind, parts: list[str]) -> None:
    if parts:
        found.append(Change(kind, "".join(parts)))
