"""Cuts text of a format without pages into parts of about 3,000 characters.

At a heading where one is near, else at an empty line, a line end, a sentence end. A table keeps
together while it fits and its header is repeated where it is cut. Tokens are not counted here:
that is the splitter's business, later and in another process.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from qwen_webui.documents.values import PART_CHARACTERS

_SENTENCE_END = re.compile(r"[。！？!?；]|\.(?=\s)")
_RULE = re.compile(r"\|(?:\s*:?-+:?\s*\|)+\s*")


def parts_of(blocks: Iterable[str]) -> Iterator[str]:
    """Parts, each of whole blocks as far as possible. A block is a paragraph, a heading ("# ..")
    or a table; blocks are joined with an empty line."""
    held: list[str] = []
    size = 0
    for block in _fitting(blocks):
        heading = block.startswith("#")
        late = size > PART_CHARACTERS * (0.6 if heading else 1)
        if held and (late or size + len(block) > PART_CHARACTERS * 1.25):
            # A heading belongs to what follows it.
            last = [held.pop()] if len(held) > 1 and held[-1].startswith("#") else []
            yield "\n\n".join(held)
            held, size = last, sum(map(len, last))
        held.append(block)
        size += len(block) + 2
    if held:
        yield "\n\n".join(held)


def blocks_of(text: str) -> Iterator[str]:
    """Paragraphs of plain text, cut at empty lines; a heading line is a block of its own."""
    for block in re.split(r"\n[ \t]*\n", text):
        if block.strip():
            yield block.strip("\n")


def _fitting(blocks: Iterable[str]) -> Iterator[str]:
    for block in blocks:
        if len(block) <= PART_CHARACTERS * 1.25:
            yield block
        elif (table := _table(block)) is not None:
            yield from _rows(*table)
        else:
            yield from _cut(block)


def _table(block: str) -> tuple[list[str], list[str]] | None:
    lines = block.split("\n")
    if len(lines) < 3 or not _RULE.fullmatch(lines[1].strip()):
        return None
    return lines[:2], lines[2:]


def _rows(header: list[str], rows: list[str]) -> Iterator[str]:
    lead = "\n".join(header)
    if len(lead) > PART_CHARACTERS // 2:
        yield from _cut("\n".join([*header, *rows]))
        return
    held: list[str] = []
    size = len(lead)
    for row in rows:
        if held and size + len(row) > PART_CHARACTERS:
            yield "\n".join([lead, *held])
            held, size = [], len(lead)
        held.append(row)
        size += len(row) + 1
    yield "\n".join([lead, *held])


def _cut(text: str) -> Iterator[str]:
    """Pieces of one long block: at a line end, a sentence end, a blank, or anywhere."""
    start = 0
    while len(text) - start > PART_CHARACTERS:
        end = start + PART_CHARACTERS
        least = start + PART_CHARACTERS // 2
        place = text.rfind("\n", least, end) + 1
        if not place:
            ends = [found.end() for found in _SENTENCE_END.finditer(text, least, end)]
            place = ends[-1] if ends else text.rfind(" ", least, end) + 1
        place = place or end
        if piece := text[start:place].strip("\n"):
            yield piece
        start = place
    if rest := text[start:].strip("\n"):
        yield rest
