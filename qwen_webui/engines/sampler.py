"""Chooses each next token by a request's Sampling, with a random generator of its own.

The last word in `generate`: a logits processor whose result leaves one token possible, so that
what runs beside a request never changes what it draws. The warpers are those of transformers.
"""

from __future__ import annotations

import torch
from torch import LongTensor, Tensor
from transformers.generation.logits_process import (
    LogitsProcessor,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from qwen_webui.engines.constraint import Guide
from qwen_webui.engines.failures import NOT_FINITE
from qwen_webui.errors import GenerationFailed, InvalidRequest
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import Sampling, TokenLogprob

SEEDS = 2**63
# Below it float32 overflows, and the draw is greedy anyway.
LEAST_TEMPERATURE = 1e-4
# Tokens tried before a constrained answer is brought to its end.
DRAWS = 4


class Sampler(LogitsProcessor):
    """For one request. Scores are [1, vocabulary], float32."""

    def __init__(
        self,
        sampling: Sampling,
        tokenizer: ChatTokenizer,
        vocabulary: int,
        device: torch.device,
        prompt_tokens: int,
        guide: Guide | None = None,
    ) -> None:
        self._sampling = sampling
        self._guide = guide
        self._tokenizer = tokenizer
        self._prompt_tokens = prompt_tokens
        self._random = torch.Generator(device)
        if sampling.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(sampling.seed % SEEDS)
        self._bias = _bias(sampling, vocabulary, device)
        self._warpers = _warpers(sampling)
        self._report: tuple[TokenLogprob, ...] = ()

    def __call__(self, input_ids: LongTensor, scores: Tensor) -> Tensor:
        """One row in which only the chosen token is possible."""
        if not bool(torch.isfinite(scores).all()):
            raise GenerationFailed(NOT_FINITE)
        if self._guide is None:
            chosen = self._drawn(input_ids, self._penalized(input_ids, scores))
        else:
            chosen = self._guided(input_ids, scores, self._guide)
        if self._sampling.logprobs is not None:
            self._report = self._logprobs(scores[0], int(chosen), self._sampling.logprobs)
        return torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)

    @property
    def guide(self) -> Guide | None:
        """What keeps the answer to its constraint."""
        return self._guide

    @property
    def complete(self) -> bool:
        """Whether nothing can follow the token chosen last."""
        return self._guide is not None and self._guide.complete

    def report(self) -> tuple[TokenLogprob, ...]:
        """Of the token chosen last, by the model's own distribution: before bias, penalty and
        temperature. Empty unless asked for."""
        return self._report

    def _guided(self, input_ids: LongTensor, scores: Tensor, guide: Guide) -> Tensor:
        """The mask stands before the warpers: top_k counts tokens that are allowed."""
        if not guide.closing:
            only = guide.look()
            if only is not None:
                token = only if guide.take(only) else guide.close()
                return torch.full((1, 1), token, device=scores.device)
            adjusted = guide.masked(self._penalized(input_ids, scores))
            for _ in range(DRAWS):
                chosen = self._drawn(input_ids, adjusted)
                if guide.take(int(chosen)):
                    return chosen
                adjusted = adjusted.scatter(1, chosen, -torch.inf)
                if not bool(torch.isfinite(adjusted).any()):
                    break
        return torch.full((1, 1), guide.close(), device=scores.device)

    def _drawn(self, input_ids: LongTensor, adjusted: Tensor) -> Tensor:
        if (self._sampling.temperature or 0.0) < LEAST_TEMPERATURE:
            return adjusted.argmax(dim=-1, keepdim=True)
        for warper in self._warpers:
            adjusted = warper(input_ids, adjusted)
        return torch.multinomial(torch.softmax(adjusted, dim=-1), 1, generator=self._random)

    def _penalized(self, input_ids: LongTensor, scores: Tensor) -> Tensor:
        """Repetition counts prompt and answer, presence and frequency the answer alone."""
        sampling = self._sampling
        if sampling.repetition_penalty not in (None, 1.0):
            penalty = RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)
            scores = penalty(input_ids, scores)
        presence, frequency = sampling.presence_penalty or 0.0, sampling.frequency_penalty or 0.0
        if presence or frequency:
            said = torch.bincount(input_ids[0, self._prompt_tokens :], minlength=scores.shape[1])
            scores = scores - frequency * said - presence * (said > 0)
        return scores if self._bias is None else scores + self._bias

    def _logprobs(self, scores: Tensor, chosen: int, top: int) -> tuple[TokenLogprob, ...]:
        logprobs = torch.log_softmax(scores, dim=-1)
        best = torch.topk(logprobs, min(top, len(logprobs)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        text = self._tokenizer.token_text
        alternatives = tuple((token, text(token), value) for token, value in pairs)
        return (TokenLogprob(chosen, text(chosen), float(logprobs[chosen]), alternatives),)


def _warpers(sampling: Sampling) -> list[LogitsProcessor]:
    """In the order of transformers; those that would change nothing are left out."""
    warpers: list[LogitsProcessor] = []
    if sampling.temperature not in (None, 0.0, 1.0):
        warpers.append(TemperatureLogitsWarper(float(sampling.temperature or 1.0)))
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p is not None and sampling.top_p < 1.0:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    if sampling.min_p:
        warpers.append(MinPLogitsWarper(sampling.min_p))
    return warpers


def _bias(sampling: Sampling, vocabulary: int, device: torch.device) -> Tensor | None:
    if not sampling.logit_bias:
        return None
    bias = torch.zeros(vocabulary, device=device)
    for token, value in sampling.logit_bias:
        if not 0 <= token < vocabulary:
            raise InvalidRequest(
                f"logit_bias names token {token}; this model has tokens 0 to {vocabulary - 1}.",
                param="logit_bias",
            )
        bias[token] = value
    return bias
