"""Asks an engine for answers of an exact length and keeps what it says of its time.

Inputs are random ids, all different: what an engine finds in its cache again would falsify the
prefill. Decides nothing about what is measured.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import aclosing

from qwen_webui.engines.base import Engine
from qwen_webui.errors import GenerationFailed
from qwen_webui.measure.speed.lengths import Length
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import Finished, GenerationRequest, Sampling, Usage

# Taken off an id that would end the answer: no model overcomes it.
HELD_BACK = -100.0
# Ids looked through for those of plain text; a vocabulary has many times more.
_LOOKED_AT = 20_000


class EndedEarly(Exception):
    """The model ended an answer before its length."""


def plain_ids(tokenizer: ChatTokenizer) -> tuple[int, ...]:
    """Ids that stand for some text, so that no control token is among an input."""
    known = range(min(tokenizer.vocabulary, _LOOKED_AT))
    stops = set(tokenizer.stop_ids)
    return tuple(i for i in known if i not in stops and tokenizer.token_bytes(i))


class Asker:
    """Of one loaded engine. Greedy. `hold_back` keeps the ids that end an answer from being
    chosen; without it a model that never ends early is measured as it always runs."""

    def __init__(self, engine: Engine, ids: Sequence[int], chance: random.Random) -> None:
        self._engine = engine
        self._ids = ids
        self._chance = chance
        self.hold_back = False

    async def ask(self, length: Length, at_once: int) -> tuple[list[Usage], float]:
        """Usage of each answer, and the seconds from the first question to the last answer's end.

        Raises EndedEarly, GenerationFailed for what would be a false figure, and what `stream`
        raises; the other answers are given up then.
        """
        prompts = [
            tuple(self._chance.choices(self._ids, k=length.input_tokens)) for _ in range(at_once)
        ]
        began = time.perf_counter()
        answers = [asyncio.create_task(self._answer(one, length)) for one in prompts]
        try:
            found = await asyncio.gather(*answers)
        finally:
            for answer in answers:
                answer.cancel()
            await asyncio.gather(*answers, return_exceptions=True)
        return found, time.perf_counter() - began

    async def _answer(self, prompt: tuple[int, ...], length: Length) -> Usage:
        request = GenerationRequest("speed", (), self._sampling(length), prompt=prompt)
        async with aclosing(self._engine.stream(request)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return self._checked(event, length)
        raise AssertionError("a stream that is read to its end finishes")

    def _sampling(self, length: Length) -> Sampling:
        ends = self._engine.info.stop_ids if self.hold_back else ()
        return Sampling(
            *(0.0, 1.0, 0, 0.0, 1.0, 0.0, 0.0),
            logit_bias=tuple((token, HELD_BACK) for token in ends),
            max_new_tokens=length.output_tokens,
        )

    def _checked(self, event: Finished, length: Length) -> Usage:
        usage = event.usage
        if usage.cached_tokens:
            raise GenerationFailed(
                f"{usage.cached_tokens} tokens of an input were found in the cache of an answer "
                "before, so its first token came too early to count. Measure again."
            )
        if usage.completion_tokens < length.output_tokens and event.reason == "stop":
            raise EndedEarly
        if (usage.prompt_tokens, usage.completion_tokens) != (
            length.input_tokens,
            length.output_tokens,
        ):
            raise GenerationFailed(
                f"{length.input_tokens} tokens in and {length.output_tokens} out were asked for, "
                f"but the engine counted {usage.prompt_tokens} and {usage.completion_tokens}. "
                "Choose a shorter --outputs."
            )
        return usage
