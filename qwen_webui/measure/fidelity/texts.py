"""The text that both checkpoints read, cut into windows: the program's own, or a user's file.

The program's own are data/en.txt and data/zh.txt, written for it, which no checkpoint was
calibrated on. A window is what an engine reads at once; every position of a text but the last is
scored in exactly one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qwen_webui.errors import InvalidRequest, NotFound
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import MOST_POSITIONS

# Positions a window scores, and tokens before them that it reads too: as in llama.cpp's perplexity
# tool, which scores the second half of windows of 512.
SCORED = MOST_POSITIONS
CONTEXT = 2 * SCORED + 1
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Text:
    """`name` is shown in the report, with a hash of the whole."""

    name: str
    content: str

    @property
    def label(self) -> str:
        """Which text it was, so that two reports can be compared."""
        digest = hashlib.sha256(self.content.encode()).hexdigest()[:16]
        return f"{self.name} ({len(self.content)} characters, sha256 {digest})"


@dataclass(frozen=True)
class Window:
    """Tokens of text number `text`; positions from `start` on are scored, the first of which is
    position `place` of the text."""

    text: int
    place: int
    token_ids: tuple[int, ...]
    start: int

    @property
    def positions(self) -> int:
        """How many are scored."""
        return len(self.token_ids) - 1 - self.start


def own_texts() -> tuple[Text, ...]:
    """English and Chinese."""
    folder = Path(__file__).parent / "data"
    names = ("en.txt", "zh.txt")
    return tuple(Text(name, (folder / name).read_text(encoding="utf-8")) for name in names)


def read_text(path: Path) -> Text:
    """A file of the user's. Raises NotFound and InvalidRequest."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InvalidRequest(
                f"{path.name} is larger than {_MOST_BYTES >> 20} MiB. Take a part of it: some "
                "thousand tokens are enough.",
                param="text",
            )
        return Text(path.name, path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"{path.name} is not UTF-8 text (byte {error.start}). Convert it first.", param="text"
        ) from error
    except OSError as error:
        raise NotFound(
            f"{path} cannot be read ({error.strerror}). Name a text file with --text.", param="text"
        ) from error


def windows(texts: Sequence[Text], tokenizer: ChatTokenizer, most: int) -> tuple[Window, ...]:
    """Of all texts, as many positions of each, `most` together. Raises InvalidRequest for texts
    of less than two tokens."""
    share = max(1, most // len(texts))
    found = tuple(
        window
        for number, text in enumerate(texts)
        for window in _of(number, tokenizer.encode(text.content)[: share + 1])
    )
    if not found:
        raise InvalidRequest(
            "The text has less than two tokens, so nothing can be predicted. Give a longer one.",
            param="text",
        )
    return found


def _of(number: int, tokens: Sequence[int]) -> Iterator[Window]:
    for place in range(0, len(tokens) - 1, SCORED):
        first = max(0, place - SCORED)
        yield Window(number, place, tuple(tokens[first : place + SCORED + 1]), place - first)
