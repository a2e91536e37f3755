"""Where two answers part, and which runs of them are equal. Pure; time is bounded.

Chinese is compared by character, other writing by word. Knows no tokenizer: tokens come as the
bytes they stand for.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from qwen_webui.comparison.values import Difference

# Characters of scripts written without spaces stand alone, as do marks; spaces stay together.
_ALONE = "\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNITS = re.compile(rf"[{_ALONE}]|[^\W{_ALONE}]+|\s+|.", re.DOTALL)
_SENTENCES = re.compile(r"[^.!?\n。！？]*[.!?\n。！？]*", re.DOTALL)
# Units of both texts together whose comparison stays under a second; longer texts are compared by
# sentence, and where even that is too much the rest counts as replaced.
MOST_UNITS = 4_000


@dataclass(frozen=True)
class Change:
    """A run of a text: in both, only in the second (added), or only in the first (removed)."""

    kind: Literal["same", "added", "removed"]
    text: str


def changes(reference: str, text: str) -> tuple[Change, ...]:
    """What of `reference` is in `text` too, what is not, and what is new, in reading order.

    The runs that are not "added" make `reference`, those that are not "removed" make `text`.
    """
    for pattern in (_UNITS, _SENTENCES):
        old, new = _split(pattern, reference), _split(pattern, text)
        before = _common(old, new)
        after = _common(old[before:][::-1], new[before:][::-1])
        middle = old[before : len(old) - after], new[before : len(new) - after]
        if len(middle[0]) + len(middle[1]) <= MOST_UNITS:
            runs = _compared(*middle)
            break
    else:
        runs = [Change("removed", "".join(middle[0])), Change("added", "".join(middle[1]))]
    head = Change("same", "".join(old[:before]))
    tail = Change("same", "".join(old[len(old) - after :]))
    return _joined([head, *runs, tail])


def first_difference(
    reference: tuple[str, Sequence[bytes]], answer: tuple[str, Sequence[bytes]]
) -> Difference | None:
    """Where `answer` (its text, and the bytes of its tokens) leaves `reference`; None if nowhere.

    Where an engine's tokens are not what the texts are made of (another server tells none), words
    and Chinese characters are counted.
    """
    if reference[0] == answer[0]:
        return None
    character = _common(reference[0], answer[0])
    place = _common(reference[1], answer[1])
    same = b"".join(reference[1][:place])
    known = len(reference[1]) > place or len(answer[1]) > place
    if known and all(said.encode().startswith(same) for said, _ in (reference, answer)):
        old, new = ([t.decode("utf-8", "replace") for t in side[1]] for side in (reference, answer))
    else:
        old, new = _split(_UNITS, reference[0]), _split(_UNITS, answer[0])
        place = _common(old, new)
    return Difference(place, character, *("".join(side[place : place + 1]) for side in (old, new)))


def _split(pattern: re.Pattern[str], text: str) -> list[str]:
    return [found for found in pattern.findall(text) if found]


def _common(old: Sequence[object], new: Sequence[object]) -> int:
    pairs = enumerate(zip(old, new, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(old), len(new)))


def _compared(old: list[str], new: list[str]) -> list[Change]:
    found: list[Change] = []
    # Frequent units ("the", a space) are no anchors in long texts: that is what bounds the time.
    matcher = difflib.SequenceMatcher(None, old, new)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            found.append(Change("same", "".join(old[a:b])))
        else:
            found.append(Change("removed", "".join(old[a:b])))
            found.append(Change("added", "".join(new[c:d])))
    return found


def _joined(runs: Sequence[Change]) -> tuple[Change, ...]:
    """Without empty runs, neighbours of a kind as one."""
    found: list[Change] = []
    for run in runs:
        if found and found[-1].kind == run.kind:
            found[-1] = Change(run.kind, found[-1].text + run.text)
        elif run.text:
            found.append(run)
    return tuple(found)
