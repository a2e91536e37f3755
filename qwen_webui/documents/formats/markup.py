"""HTML: headings, paragraphs, lists, tables and preformatted text, in parts.

Scripts, styles and templates are left out; nothing that the page refers to is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator

from bs4 import BeautifulSoup
from bs4.element import Comment, Declaration, Doctype, NavigableString, Tag
from bs4.exceptions import ParserRejectedMarkup

from qwen_webui.documents.encodings import clean, decode
from qwen_webui.documents.parts import parts_of
from qwen_webui.documents.tables import markdown
from qwen_webui.documents.values import Page
from qwen_webui.documents.wire import Ended, Job, Opened, PageRead
from qwen_webui.errors import DocumentError

_LEFT_OUT = frozenset(("script", "style", "template", "noscript", "svg", "math", "head", "iframe"))
_BLOCK_NAMES = (
    "address article aside blockquote body dd details div dl dt fieldset figcaption figure footer "
    "form h1 h2 h3 h4 h5 h6 header hr html li main nav ol p pre section summary table ul"
)
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([A-Za-z0-9_-]{2,20})", re.IGNORECASE)


def read(data: bytes, job: Job) -> Generator[Opened | PageRead, None, Ended]:
    """Reports of every part. Raises DocumentError."""
    try:
        soup = BeautifulSoup(_decoded(data), "lxml")
    except (ParserRejectedMarkup, RecursionError, ValueError) as error:
        raise DocumentError(
            "The HTML cannot be read: it is nested too deeply or damaged. Save the page again, or "
            "copy its text into a text file."
        ) from error
    yield Opened("html", 0)
    for number, text in enumerate(parts_of(_blocks(soup)), 1):
        yield PageRead(Page(number, text))
    title = soup.title.get_text() if soup.title is not None else ""
    return Ended("part", " ".join(clean(title).split()))


def _decoded(data: bytes) -> str:
    found = _CHARSET.search(data[:4096])
    if found and not data.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        name = found[1].decode("ascii").lower()
        # Browsers read these names as the larger encodings.
        name = {"gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs"}.get(name, name)
        try:
            return data.decode(name)
        except (LookupError, UnicodeDecodeError):
            return decode(data)
    return decode(data)


def _blocks(soup: BeautifulSoup) -> Iterator[str]:
    """Blocks of text in the order of the page, walked with a stack: nesting may be deep."""
    held: list[str] = []
    stack: list[tuple[object, bool]] = [(soup, False)]
    while stack:
        item, leaving = stack.pop()
        if isinstance(item, Tag) and not leaving:
            if item.name in _LEFT_OUT:
                continue
            if item.name in ("table", "pre"):
                yield from _flush(held, "")
                text = _table(item) if item.name == "table" else f"```\n{item.get_text()}\n```"
                yield clean(text)
                continue
            if item.name in _BLOCKS:
                yield from _flush(held, "")
                stack.append((item, True))
            elif item.name == "br":
                held.append("\n")
            stack.extend((child, False) for child in reversed(item.contents))
        elif isinstance(item, Tag):
            yield from _flush(held, _lead(item.name))
        elif isinstance(item, NavigableString) and not isinstance(
            item, Comment | Declaration | Doctype
        ):
            held.append(re.sub(r"\s+", " ", str(item)))
    yield from _flush(held, "")


def _lead(name: str) -> str:
    if re.fullmatch(r"h[1-6]", name):
        return "#" * int(name[1]) + " "
    return "- " if name == "li" else ""


def _flush(held: list[str], lead: str) -> Iterator[str]:
    lines = (" ".join(line.split()) for line in clean("".join(held)).split("\n"))
    text = "\n".join(line for line in lines if line)
    held.clear()
    if text:
        yield lead + (text.replace("\n", " ") if lead.startswith("#") else text)


def _table(table: Tag) -> str:
    rows = []
    for row in table.find_all("tr"):
        rows.append([cell.get_text(" ") for cell in row.find_all(("td", "th"), recursive=False)])
    return markdown(rows) or table.get_text(" ")
