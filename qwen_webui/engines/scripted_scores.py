"""What the scripted engine predicts of a text: each next token by exp(-surprise), all other ids
alike. Simple enough that a test can work out every figure by hand."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import replace

from qwen_webui.engines.room import check_distributions, refuse_long_text, refuse_unknown
from qwen_webui.engines.script import Script
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import (
    DistributionRequest,
    Distributions,
    GenerationRequest,
    LoadPlan,
    TokenLogprob,
)

# Of a checkpoint without files.
VOCABULARY = 1_000


def scores(
    token_ids: Sequence[int], plan: LoadPlan, script: Script, tokenizer: ChatTokenizer | None
) -> list[float]:
    """Minus the surprise for every token after the first."""
    refuse_long_text(len(token_ids), plan.max_context)
    refuse_unknown(token_ids, _vocabulary(tokenizer), "token_ids")
    return [-script.surprise] * (len(token_ids) - 1)


def told(request: GenerationRequest, token: int, text: str) -> tuple[TokenLogprob, ...]:
    """What is said of a token of an answer, where it was asked for."""
    wanted = request.sampling.logprobs
    if wanted is None:
        return ()
    plain = TokenLogprob(token, text, -0.5)
    return (replace(plain, top=((token, text, -0.5),)) if wanted else plain,)


def predictions(
    asked: DistributionRequest, plan: LoadPlan, script: Script, tokenizer: ChatTokenizer | None
) -> Distributions:
    """Where the others are likelier than the next token, the lowest of them is the argmax."""
    vocabulary = _vocabulary(tokenizer)
    check_distributions(asked, plan.max_context, vocabulary)
    return _predictions(asked, vocabulary, script.surprise)


def _vocabulary(tokenizer: ChatTokenizer | None) -> int:
    return tokenizer.vocabulary if tokenizer else VOCABULARY


def _predictions(asked: DistributionRequest, vocabulary: int, surprise: float) -> Distributions:
    other = math.log1p(-math.exp(-surprise)) - math.log(vocabulary - 1)
    width = asked.top if asked.at is not None else min(asked.top, vocabulary)
    chosen = memoryview(asked.at).cast("i") if asked.at is not None else None
    ids, likeliest = array("i"), array("i")
    logprobs, tail = array("f"), array("f")
    for row, following in enumerate(asked.token_ids[asked.start + 1 :]):
        first = 1 if following == 0 else 0
        expected = [following] if -surprise > other else []
        likeliest.append(following if expected else first)
        if chosen is not None:
            own = list(chosen[row * width : (row + 1) * width])
        else:
            rest = (token for token in range(vocabulary) if token != following)
            own = [*expected, *(next(rest) for _ in range(min(width, vocabulary - 1)))][:width]
            own += [following] if len(own) < width else []
        ids.extend(own)
        logprobs.extend(-surprise if token == following else other for token in own)
        known = following in own
        left = vocabulary - len(own) - (0 if known else 1)
        mass = left * math.exp(other) + (0.0 if known else math.exp(-surprise))
        tail.append(math.log(mass) if mass > 0 else -math.inf)
    following_logprobs = array("f", [-surprise] * asked.positions)
    parts = (ids, logprobs, tail, following_logprobs, likeliest)
    return Distributions(asked.positions, width, *(part.tobytes() for part in parts))
