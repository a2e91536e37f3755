"""Marks that keep what people write from speaking for the template.

A mark is one private-use character that occurs nowhere in the conversation. Put inside every
control token of a text, it carries that text through the template as plain characters; what the
template itself writes has no marks. Taking the marks out again gives the text back unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from qwen_webui.errors import InvalidRequest

# The private use area of Unicode's first plane: JSON and template filters leave it alone.
_PRIVATE = range(0xE000, 0xF900)


def free_mark(texts: Iterable[str]) -> str:
    """A private-use character in none of `texts`. Raises InvalidRequest when all are taken."""
    taken = set().union(*texts)
    free = next((chr(number) for number in _PRIVATE if chr(number) not in taken), None)
    if free is None:
        raise InvalidRequest(
            "The messages use every private-use character of Unicode; at least one must be free. "
            "Remove some of them.",
            param="messages",
        )
    return free


class ControlTokens:
    """A set of token strings, to be found in what a template wrote and broken in other text."""

    def __init__(self, tokens: Sequence[str]) -> None:
        longest_first = sorted(filter(None, tokens), key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._beginnings = {token[:end] for token in longest_first for end in range(1, len(token))}
        self._longest = max(map(len, self._beginnings), default=0)

    def broken(self, value: Any, mark: str) -> Any:
        """A copy of `value` in plain JSON types, every token in its strings broken by `mark`."""
        if isinstance(value, str):
            return self._broken_text(value, mark)
        if isinstance(value, Mapping):
            return {
                self._broken_text(str(key), mark): self.broken(item, mark)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.broken(item, mark) for item in value]
        return value if value is None or isinstance(value, bool | int | float) else str(value)

    def _broken_text(self, text: str, mark: str) -> str:
        text = self.pattern.sub(lambda found: mark.join(found.group()) + mark, text)
        # The beginning of a token at the end of one text must not meet its rest in the next.
        for start in range(max(0, len(text) - self._longest), len(text)):
            if text[start:] in self._beginnings:
                return text[: start + 1] + mark + text[start + 1 :]
        return text


def texts_in(value: Any) -> Iterator[str]:
    """Every string in a JSON-like value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from texts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_in(item)


def sound(text: str) -> str:
    """`text` without lone surrogates, which have no UTF-8 form: U+FFFD stands for them."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def sound_value(value: Any) -> Any:
    """`value` with `sound` strings."""
    if isinstance(value, str):
        return sound(value)
    if isinstance(value, Mapping):
        return {sound(str(key)): sound_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [sound_value(item) for item in value]
    return value
