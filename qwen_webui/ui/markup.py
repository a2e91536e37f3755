"""Text that came from people or models, made safe to stand in the page's HTML and Markdown.

The chat component sanitises as well; this is what keeps the words readable and the page still: no
tag that a model writes becomes an element, and no picture is fetched from anywhere.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping

_FENCE = re.compile(r"^\s{0,3}(`{3,}|~{3,})")
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
# Formulas and the targets of links, which an element of ours would break.
_WHOLE = re.compile(r"\$\$.*?\$\$|\\\[.*?\\\]|\\\(.*?\\\)|\]\([^)\n]*\)", re.DOTALL)
_IMAGE = re.compile(r"!(?=\[)")


def escape(text: object) -> str:
    """For an attribute or an element's text."""
    return html.escape(str(text), quote=True)


def said(text: str) -> str:
    """A person's words exactly as typed, as one HTML block: Markdown does not touch them, and
    signs of formulas are kept apart so that they are not set as formulas."""
    lines = escape(text).replace("\r\n", "\n").replace("\r", "\n")
    for sign in ("$$", "\\(", "\\["):
        lines = lines.replace(sign, f"{sign[0]}<wbr>{sign[1]}")
    # A blank line would end the block, and what follows would be read as Markdown.
    return f'<div class="qw-said">{lines.replace(chr(10), "&#10;")}</div>'


def answer(text: str, instead: Mapping[tuple[int, int], str] | None = None) -> str:
    """A model's Markdown: code stays as it is, outside of it tags are text and images are links.
    `instead` has HTML of ours for stretches of `text`; those in code or in a formula stay."""
    out: list[str] = []
    place = 0
    for start, end in [*_code(text), (len(text), len(text))]:
        out += [_prose(text, place, start, instead or {}), text[start:end]]
        place = end
    return "".join(out)


def _code(text: str) -> Iterator[tuple[int, int]]:
    """Where code stands, in order: fenced blocks, and stretches between backticks."""
    prose = place = begun = 0
    fence = ""
    # Not splitlines: Markdown knows fewer line ends, and what is no code there is none here.
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and line.strip() == mark[1]:
                yield begun, place + len(line)
                fence, prose = "", place + len(line)
        elif mark:
            yield from _spans(text, prose, place)
            begun, fence = place, mark[1]
        place += len(line) + 1
    if fence:
        yield begun, len(text)
    else:
        yield from _spans(text, prose, len(text))


def _spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    return (found.span() for found in _CODE.finditer(text, start, end))


def _prose(text: str, start: int, end: int, instead: Mapping[tuple[int, int], str]) -> str:
    kept = [found.span() for found in _WHOLE.finditer(text, start, end)]
    parts, place = [], start
    for (first, last), html_of_ours in sorted(instead.items()):
        inside = place <= first and last <= end
        if inside and not any((a < last and first < b) or a < first < b for a, b in kept):
            parts += [_words(text[place:first]), html_of_ours]
            place = last
    return "".join([*parts, _words(text[place:end])])


def _words(text: str) -> str:
    return _IMAGE.sub("", text).replace("<", "&lt;")
