"""Constraints compiled for a checkpoint's vocabulary, kept for the next request, bounded.

A compiled grammar remembers what it met, so it serves one request at a time: what one request
makes it remember, up to its limits, is no other's trouble. Chooses no tokens (constraint.py).
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llguidance import LLMatcher, LLTokenizer

from qwen_webui.errors import InvalidRequest, WebUIError
from qwen_webui.structured.alphabet import Alphabet
from qwen_webui.structured.closing import fresh_end
from qwen_webui.structured.compiling import compiled as checked
from qwen_webui.structured.compiling import limits
from qwen_webui.structured.hints import hints
from qwen_webui.structured.names import Names
from qwen_webui.structured.vocabulary import read_vocabulary
from qwen_webui.types import Constraint

# Bounds of what waits for its next request.
MOST_KEPT = 32
MOST_SOURCE_BYTES = 4 << 20
# After so many requests a grammar is compiled anew: what it remembers only grows.
MOST_USES = 64

log = logging.getLogger(__name__)


@dataclass
class Compiled:
    """A constraint at its beginning: over tokens, over symbols, and its shortest whole answer.
    `size` is the number of tokens that a mask speaks of."""

    constraint: Constraint
    matcher: LLMatcher
    follower: LLMatcher
    plan: tuple[int, ...]
    names: Names
    hints: tuple[bytes, ...]
    size: int
    uses: int = 0


class Grammars:
    """Those of one checkpoint; `size` is the number of rows of the model's output. Safe to use
    from several threads."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._size = size
        self._reading = threading.Lock()
        self._vocabulary: tuple[LLTokenizer, Alphabet] | None = None
        self._shelf = threading.Lock()
        self._kept: OrderedDict[int, Compiled] = OrderedDict()

    def read_ahead(self) -> None:
        """Read the vocabulary in a thread of its own: it takes up to a second, which the first
        constrained request would wait for."""
        threading.Thread(target=self._read_quietly, name="vocabulary", daemon=True).start()

    def vocabulary(self) -> tuple[LLTokenizer, Alphabet]:
        """Tokens and symbols. Raises CheckpointError."""
        with self._reading:
            if self._vocabulary is None:
                tokens = read_vocabulary(self._folder, self._size)
                self._vocabulary = tokens, Alphabet(tokens)
            return self._vocabulary

    @contextmanager
    def lent(self, constraint: Constraint) -> Iterator[Compiled]:
        """For one request. Raises InvalidRequest for what cannot be compiled. One that is in an
        error afterwards is not kept."""
        found = self._taken(constraint) or self._compile(constraint)
        found.uses += 1
        try:
            yield found
        finally:
            self._put_back(found)

    def _read_quietly(self) -> None:
        try:
            self.vocabulary()
        except WebUIError as error:
            log.info("this checkpoint cannot constrain answers: %s", error.message)

    def _compile(self, constraint: Constraint) -> Compiled:
        vocabulary, alphabet = self.vocabulary()
        grammar = checked(constraint, vocabulary)
        follower = alphabet.matcher(grammar)
        names = Names(constraint.kind, grammar)
        told = hints(constraint)
        plan = fresh_end(follower, alphabet, names, hints=told)
        if plan is None:
            raise InvalidRequest(
                "No short answer that keeps to the constraint could be found, so an answer could "
                "not be ended in time. Simplify its patterns: bound what may stand before a part "
                "that must be there, .{0,20} instead of .*",
                code="schema_unsupported",
                param="constraint",
            )
        matcher = LLMatcher(vocabulary, grammar, log_level=0, limits=limits())
        return Compiled(constraint, matcher, follower, plan, names, told, vocabulary.vocab_size)

    def _taken(self, constraint: Constraint) -> Compiled | None:
        with self._shelf:
            for key, kept in reversed(self._kept.items()):
                if kept.constraint == constraint:
                    return self._kept.pop(key)
        return None

    def _put_back(self, used: Compiled) -> None:
        if used.uses >= MOST_USES or _spoilt(used.matcher) or _spoilt(used.follower):
            return
        with self._shelf:
            self._kept[id(used)] = used
            while len(self._kept) > MOST_KEPT or self._source_bytes() > MOST_SOURCE_BYTES:
                self._kept.popitem(last=False)

    def _source_bytes(self) -> int:
        return sum(len(kept.constraint.value) for kept in self._kept.values())


def _spoilt(matcher: LLMatcher) -> bool:
    """Whether it can no longer begin: copies share what they remember, errors of it too."""
    probe = matcher.deep_copy()
    probe.compute_bitmask()
    return probe.is_error()
