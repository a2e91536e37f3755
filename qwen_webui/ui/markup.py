"""Text that came from people or models, made safe to stand in the page's HTML and Markdown.

The chat component sanitises as well; this is what keeps the words readable and the page still: no
tag that a model writes becomes an element, and no picture is fetched from anywhere.
"""

from __future__ import annotations

import html
import re

_FENCE = re.compile(r"^\s{0,3}(`{3,}|~{3,})")
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
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


def answer(text: str) -> str:
    """A model's Markdown: code stays as it is, outside of it tags are text and images are links."""
    out: list[str] = []
    prose: list[str] = []
    fence = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            out.append(line)
            if mark and mark[1].startswith(fence) and line.strip() == mark[1]:
                fence = ""
        elif mark:
            out += _prose(prose)
            out.append(line)
            fence = mark[1]
        else:
            prose.append(line)
    return "\n".join(out + _prose(prose))


def _prose(lines: list[str]) -> list[str]:
    """The collected lines, made safe, and the collection emptied."""
    if not lines:
        return []
    text, place, parts = "\n".join(lines), 0, []
    lines.clear()
    for code in _CODE.finditer(text):
        parts += [_words(text[place : code.start()]), code[0]]
        place = code.end()
    parts.append(_words(text[place:]))
    return ["".join(parts)]


def _words(text: str) -> str:
    return _IMAGE.sub("", text).replace("<", "&lt;")
