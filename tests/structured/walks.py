"""Random answers that a grammar allows: what a model without any sense would write."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from llguidance import LLMatcher, LLTokenizer

from qwen_webui.structured import grammar
from qwen_webui.structured.alphabet import Alphabet
from qwen_webui.structured.closing import fresh_end
from qwen_webui.structured.compiling import limits
from qwen_webui.structured.names import Names
from qwen_webui.structured.vocabulary import read_vocabulary
from qwen_webui.types import Constraint

DEMO = Path(__file__).parents[2] / "qwen_webui" / "demo" / "demo-fp16"


def json_schema(schema: Any) -> Constraint:
    """A schema as a constraint."""
    return Constraint("json_schema", json.dumps(schema))


class Walker:
    """Walks over the masks of one vocabulary."""

    def __init__(self, vocabulary: LLTokenizer | None = None) -> None:
        self.vocabulary = vocabulary or read_vocabulary(DEMO)
        self.alphabet = Alphabet(self.vocabulary)
        texts = [self.vocabulary.decode_bytes([n]) for n in range(self.vocabulary.vocab_size)]
        self._ends = set(self.vocabulary.eos_tokens)
        self._marks = {n for n, text in enumerate(texts) if set(text) & set(b'"}],')}

    def answers(
        self, constraint: Constraint, count: int, seed: int = 0, most: int = 60
    ) -> list[str]:
        """`count` whole answers; each is brought to an end after about `most` tokens."""
        text = grammar(constraint)
        start = LLMatcher(self.vocabulary, text, log_level=0, limits=limits())
        beside = self.alphabet.matcher(text)
        assert not start.is_error(), start.get_error()
        return [
            self._answer(
                start.deep_copy(),
                beside.deep_copy(),
                Names(constraint.kind, text),
                random.Random(seed + n),
                most,
            )
            for n in range(count)
        ]

    def _answer(
        self,
        state: LLMatcher,
        beside: LLMatcher,
        names: Names,
        chance: random.Random,
        most: int,
    ) -> str:
        written = bytearray()
        for _ in range(chance.randrange(most) + 1):
            mask = int.from_bytes(state.compute_bitmask(), "little")
            assert mask, f"nothing may follow {bytes(written)!r}: {state.get_error()}"
            allowed = [n for n in range(self.vocabulary.vocab_size) if mask >> n & 1]
            marks = [n for n in allowed if n in self._marks]
            few = marks if marks and chance.random() < 0.3 else allowed
            token = chance.choice(few)
            if token in self._ends:
                return written.decode()
            text = self.vocabulary.decode_bytes([token])
            if not names.allows(text):
                continue
            names.take(text)
            assert state.consume_token(token), state.get_error()
            assert beside.consume_tokens(self.alphabet.symbols(token)), beside.get_error()
            written += text
        end = fresh_end(beside, self.alphabet, names, effort=0)
        assert end is not None, f"no end after {bytes(written)!r}"
        return (bytes(written) + bytes(end)).decode()
