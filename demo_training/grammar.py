"""Draws one wording from a form with alternatives: `(hello|hi)( there|)!`, nested at will.

An alternative written twice is twice as likely. It fills no `{placeholders}`: `fill` does, by a
table of functions.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from functools import cache

Node = tuple["str | tuple[Node, ...]", ...]
"""Parts in order; a part that is a tuple holds alternatives."""

_SLOT = re.compile(r"\{(\w+)\}")


@cache
def parse(form: str) -> Node:
    node, place = _sequence(form, 0)
    assert place == len(form), f"a bracket too many in the form: {form}"
    return node


def _sequence(form: str, place: int) -> tuple[Node, int]:
    parts: list[str | tuple[Node, ...]] = []
    text = ""
    while place < len(form) and form[place] not in "|)":
        if form[place] == "(":
            if text:
                parts.append(text)
                text = ""
            alternatives, place = _alternatives(form, place + 1)
            parts.append(alternatives)
        else:
            text += form[place]
            place += 1
    if text:
        parts.append(text)
    return tuple(parts), place


def _alternatives(form: str, place: int) -> tuple[tuple[Node, ...], int]:
    found = []
    while True:
        node, place = _sequence(form, place)
        found.append(node)
        assert place < len(form), f"a bracket is not closed in the form: {form}"
        if form[place] == ")":
            return tuple(found), place + 1
        place += 1


def expand(rng: random.Random, form: str) -> str:
    """One of the wordings of the form."""
    return _draw(rng, parse(form))


def _draw(rng: random.Random, node: Node) -> str:
    out = ""
    for part in node:
        out += part if isinstance(part, str) else _draw(rng, rng.choice(part))
    return out


def fill(text: str, slots: Mapping[str, Callable[[], str]]) -> str:
    """Puts a fresh value into each `{slot}`."""
    return _SLOT.sub(lambda found: slots[found.group(1)](), text) if "{" in text else text
