"""Whether extracted text can be what stands on the page: fonts that give wrong characters.

Judges single characters; it cannot tell a text whose letters were exchanged for others.
"""

from __future__ import annotations

import re

_WRONG = re.compile("[�\ue000-\uf8ff\U000f0000-\U0010ffff\0-\x08\x0e-\x1f\x7f-\x9f]")
# How extraction writes a glyph that has no character: "(cid:12)", "/g12", "/C0034".
_GLYPHS = re.compile(r"\(cid:\d+\)|(?:/[A-Za-z]{0,4}\d{1,5}){4,}")
# Text in another encoding shown as Latin-1: no language is written in these letters alone.
_LATIN_1 = re.compile("[\xa1-\xff]")
_SHARE = 0.1
_LATIN_1_SHARE = 0.4
_ENOUGH = 20


def garbled(text: str) -> bool:
    """Whether so many characters are wrong that the text is of no use."""
    visible = len("".join(text.split()))
    if not visible:
        return False
    wrong = len(_WRONG.findall(text)) + sum(len(found) for found in _GLYPHS.findall(text))
    if wrong / visible > _SHARE:
        return True
    return visible >= _ENOUGH and len(_LATIN_1.findall(text)) / visible > _LATIN_1_SHARE
