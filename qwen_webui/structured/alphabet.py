"""The symbols in which an answer's end is looked for: the 256 bytes.

Few enough to try each, and every byte-level vocabulary spells with them. Translates between them
and a vocabulary's tokens, and says which symbol is worth trying first. Does not search
(closing.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from llguidance import LLMatcher, LLTokenizer

from qwen_webui.structured.compiling import limits

CLOSING = frozenset(b'"}],:')
# In a text: the quote that ends it before all, then what needs no escape. 1 before 0 and capitals
# before small letters make dates and times that exist and are written as most readers ask.
_IN_TEXT = b'"a1TZA0bcdefghijklmnopqrstuvwxyz23456789BCDEFGHIJKLMNOPQRSUVWXY@.-_/:+ '
# Between texts: what closes before what goes on, and what goes on before what opens.
_BETWEEN = b'}],:0123456789Z"ntf]-[{.eE \n'
_DIGITS = b"1023456789"
# Letters that stand between texts too: first ones of true, false, null, and of exponents.
_AMBIGUOUS = frozenset(b"tfneE")


class Alphabet:
    """The symbols, for one vocabulary. Immutable; safe to use from several threads."""

    def __init__(self, vocabulary: LLTokenizer) -> None:
        self._vocabulary = vocabulary
        self._bytes = LLTokenizer("byte")
        self.end: int = self._bytes.eos_token
        # What a mask allows, the most promising first.
        self.order = lru_cache(maxsize=4096)(_order)
        self._known = lru_cache(maxsize=4096)(lambda mask: frozenset(_order(mask)))

    def matcher(self, grammar: str) -> LLMatcher:
        """A matcher of `grammar` over symbols, at its beginning."""
        return LLMatcher(self._bytes, grammar, log_level=0, limits=limits())

    def symbols(self, token: int) -> tuple[int, ...]:
        """What a token of the vocabulary is made of."""
        return tuple(self._vocabulary.decode_bytes([token]))

    def tokens(self, symbols: Sequence[int]) -> tuple[int, ...]:
        """Few tokens of the vocabulary that say the same."""
        return tuple(self._vocabulary.tokenize_bytes(bytes(symbols)))

    def spelled(self, symbols: Sequence[int]) -> tuple[int, ...]:
        """One token for each symbol: longer, but allowed wherever the text is."""
        spell = self._vocabulary.tokenize_bytes
        return tuple(token for symbol in symbols for token in spell(bytes([symbol])))

    def best(self, mask: bytes, before: bytes) -> int | None:
        """The most promising symbol that `mask` allows. In a text, what `before` did not allow
        yet is a step forward (the @ of an address), and so comes before the rest."""
        order = self.order(mask)
        if not order or order[0] in CLOSING or not before or before == mask:
            return order[0] if order else None
        known = self._known(before)
        return next((symbol for symbol in order if symbol not in known), order[0])


def _order(mask: bytes) -> tuple[int, ...]:
    number = int.from_bytes(mask, "little")
    allowed = [symbol for symbol in range(256) if number >> symbol & 1]
    in_text = any(97 <= symbol <= 122 and symbol not in _AMBIGUOUS for symbol in allowed)
    only_digits = all(0x30 <= symbol <= 0x39 for symbol in allowed)
    preferred = _DIGITS if only_digits else _IN_TEXT if in_text else _BETWEEN

    def rank(symbol: int) -> int:
        place = preferred.find(symbol)
        return place if place >= 0 else 256 + symbol

    return tuple(sorted(allowed, key=rank))
