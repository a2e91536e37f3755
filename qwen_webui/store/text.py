"""Text as it is kept, titled and searched. Pure functions over strings."""

from __future__ import annotations

import unicodedata

TITLE_LENGTH = 200
# Of a title that the store makes itself from the first question.
_OWN_TITLE_LENGTH = 60


def storable(text: str) -> str:
    """`text` with what no UTF-8 file can hold (half surrogate pairs), and NUL, marked U+FFFD."""
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", "\ufffd")


def fold(text: str) -> str:
    """Text as it is compared in a search: case, and full-width against half-width, do not count."""
    return unicodedata.normalize("NFKC", text).casefold()


def one_line(text: str) -> str:
    """`text` without line breaks and control characters, each run of spaces made one."""
    shown = "".join(" " if unicodedata.category(c) == "Cc" else c for c in text)
    return " ".join(shown.split())


def title_from(text: str) -> str:
    """A title for a conversation that begins with `text`."""
    # A bound first: the question may be a megabyte, the title is its beginning.
    line = one_line(text.strip()[: 4 * _OWN_TITLE_LENGTH])
    if len(line) <= _OWN_TITLE_LENGTH:
        return line
    return line[: _OWN_TITLE_LENGTH - 1].rstrip() + "…"
