"""Every field of Sampling for a batch of rows, on the device, a token a row.

What a row draws depends on its own scores, seed and place in its answer, on nothing beside it.
Knows sequences only by their `Drawing`; what keeps one to a constraint is judging.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qwen_webui.engines.decode.distribution import Shaping, candidates, drawn
from qwen_webui.engines.decode.philox import uniform
from qwen_webui.engines.decode.transfer import sent
from qwen_webui.errors import InvalidRequest
from qwen_webui.types import Sampling

SEEDS = 2**64

# Logits, a row for each sequence.
Rows = Tensor | list[Tensor]


@dataclass(frozen=True, slots=True)
class Mask:
    """What a constraint allows next: one token, or those whose bit is set, 32 an int32."""

    only: int | None
    words: Tensor | None


@dataclass(slots=True)
class Drawing:
    """What one sequence brings to its draws. `index` counts its own tokens, `attempt` the draws
    of one token that were refused."""

    row: int
    shaping: Shaping
    seed: int
    repetition: float
    presence: float
    frequency: float
    bias: Tensor | None
    logprobs: int | None
    index: int = 0
    attempt: int = 0
    mask: Mask | None = None

    @classmethod
    def of(cls, sampling: Sampling, vocabulary: int, device: torch.device) -> Drawing:
        """`sampling` is complete. Raises InvalidRequest for tokens that there are not."""
        seed = secrets.randbelow(SEEDS) if sampling.seed is None else sampling.seed % SEEDS
        top_p = 1.0 if sampling.top_p is None else sampling.top_p
        shaping = Shaping(
            sampling.temperature or 0.0, sampling.top_k or 0, top_p, sampling.min_p or 0.0
        )
        return cls(
            row=-1,
            shaping=shaping,
            seed=seed,
            repetition=sampling.repetition_penalty or 1.0,
            presence=sampling.presence_penalty or 0.0,
            frequency=sampling.frequency_penalty or 0.0,
            bias=_bias(sampling, vocabulary, device),
            logprobs=sampling.logprobs,
        )

    @property
    def plain(self) -> bool:
        """Whether the token is the likeliest by the model's own scores, and no more is asked."""
        return (
            self.shaping.greedy
            and not self.penalized
            and self.bias is None
            and self.mask is None
            and self.logprobs is None
        )

    @property
    def penalized(self) -> bool:
        """Whether what was said counts."""
        return self.repetition != 1.0 or bool(self.presence or self.frequency)


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Of the chosen token and of the best, by the model's own distribution: before bias, penalty
    and temperature."""

    chosen: float
    tokens: list[int]
    values: list[float]


@dataclass(frozen=True, slots=True)
class Choice:
    """One row's token, on the host; `finite` is False where the model computed no numbers."""

    token: int
    finite: bool
    logprobs: Logprobs | None


class Draws:
    """The tokens of one call of Sampler.draw: on the device at once, on the host when read. -1
    stands where the model computed no numbers. `logprobs` are values and tokens by place."""

    def __init__(self, tokens: Tensor, logprobs: dict[int, tuple[Tensor, Tensor]]) -> None:
        self.tokens = tokens
        self._there = _on_its_way(tokens)
        self._logprobs = {
            place: (_on_its_way(values), _on_its_way(best))
            for place, (values, best) in logprobs.items()
        }
        self._event: torch.cuda.Event | None = None
        if tokens.is_cuda:
            self._event = torch.cuda.Event()
            self._event.record()

    def read(self) -> list[Choice]:
        """Waits for this draw, not for what was asked of the device after it."""
        if self._event is not None:
            self._event.synchronize()
        return [
            Choice(max(token, 0), token >= 0, self._told(place))
            for place, token in enumerate(self._there.tolist())
        ]

    def _told(self, place: int) -> Logprobs | None:
        if place not in self._logprobs:
            return None
        values, tokens = self._logprobs[place]
        chosen, *best = values.tolist()
        return Logprobs(chosen, tokens.tolist(), best)


def _on_its_way(tensor: Tensor) -> Tensor:
    """Its copy on the host, which is there once the device has come so far."""
    if not tensor.is_cuda:
        return tensor
    return torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)


class Sampler:
    """For one computer: remembers what each row was asked and has said."""

    def __init__(self, rows: int, vocabulary: int, device: torch.device) -> None:
        self._device = device
        self._asked = torch.zeros(rows, vocabulary, dtype=torch.bool, device=device)
        self._said = torch.zeros(rows, vocabulary, dtype=torch.int32, device=device)
        self._shifts = torch.arange(32, dtype=torch.int32, device=device)

    def seat(self, drawing: Drawing, prompt: Sequence[int]) -> None:
        """A sequence has taken `drawing.row`."""
        self._asked[drawing.row] = False
        self._said[drawing.row] = 0
        if drawing.penalized:
            ids = sent(prompt, self._device)
            self._asked[drawing.row].index_fill_(0, ids, True)

    def unsay(self, drawing: Drawing, token: int) -> None:
        """`token`, the last that was drawn, does not stand."""
        self._said[drawing.row, token] -= 1
        drawing.index -= 1
        drawing.attempt += 1

    def draw(self, logits: Rows, drawings: list[Drawing]) -> Draws:
        """One token for each row of `logits`, which stay as they are."""
        logits = torch.stack(logits) if isinstance(logits, list) else logits
        finite = torch.isfinite(logits).all(-1)
        scores = logits.masked_fill(~finite[:, None], 0.0)
        if any(d.penalized for d in drawings):
            scores = self._penalized(scores, drawings)
        for place, drawing in enumerate(drawings):
            if drawing.bias is not None:
                scores[place] += drawing.bias
            if drawing.mask is not None:
                scores[place] = self._masked(scores[place], drawing.mask)
        tokens = self._chosen(scores, drawings)
        rows = sent([d.row for d in drawings], self._device)
        ones = torch.ones_like(tokens, dtype=torch.int32)
        told = logprobs_of(likely_of(logits, drawings), tokens)
        draws = Draws(tokens.masked_fill(~finite, -1), told)
        # Last: who runs out of memory before is drawn again, and nothing counts twice.
        self._said.index_put_((rows, tokens), ones, accumulate=True)
        for drawing in drawings:
            drawing.index += 1
        return draws

    def take(self, likeliest: Tensor, drawings: list[Drawing]) -> Draws:
        """`likeliest` [rows], -1 where there are no numbers, for rows that are all plain: what
        they said is asked of nobody."""
        draws = Draws(likeliest, {})
        for drawing in drawings:
            drawing.index += 1
        return draws

    def _penalized(self, scores: Tensor, drawings: list[Drawing]) -> Tensor:
        """Repetition counts prompt and answer, presence and frequency the answer alone."""
        rows = sent([d.row for d in drawings], self._device)
        said = self._said[rows]
        spoken = said > 0
        repetition, presence, frequency = (
            sent(numbers, self._device)[:, None]
            for numbers in zip(
                *((d.repetition, d.presence, d.frequency) for d in drawings), strict=True
            )
        )
        held = torch.where(scores < 0, scores * repetition, scores / repetition)
        scores = torch.where(self._asked[rows] | spoken, held, scores)
        return scores - frequency * said - presence * spoken

    def _masked(self, scores: Tensor, mask: Mask) -> Tensor:
        if mask.words is None:
            assert mask.only is not None, "a mask allows something"
            alone = torch.full_like(scores, -torch.inf)
            alone[mask.only] = 0.0
            return alone
        words = mask.words.to(self._device, non_blocking=True)
        allowed = ((words[:, None] >> self._shifts) & 1).view(-1)[: len(scores)]
        return scores.masked_fill(allowed == 0, -torch.inf)

    def _chosen(self, scores: Tensor, drawings: list[Drawing]) -> Tensor:
        """Rows of one width are drawn together."""
        tokens = scores.argmax(-1)
        widths: dict[int, list[int]] = {}
        for place, drawing in enumerate(drawings):
            if not drawing.shaping.greedy:
                widths.setdefault(drawing.shaping.width, []).append(place)
        for places in widths.values():
            group = [drawings[place] for place in places]
            at = sent(places, self._device)
            found = candidates(scores[at], [d.shaping for d in group])
            numbers = [uniform(d.seed, d.index, d.attempt) for d in group]
            uniforms = sent(numbers, self._device, torch.float64)
            tokens[at] = drawn(found, uniforms)
        return tokens


def likely_of(logits: Rows, drawings: list[Drawing]) -> dict[int, tuple[Tensor, Tensor, Tensor]]:
    """Of the places in the batch where they are asked for: all log-probabilities, the best of
    them, and the best ones' tokens. What of `logprobs_of` takes memory."""
    likely = {}
    for place, drawing in enumerate(drawings):
        if drawing.logprobs is not None:
            values = torch.log_softmax(logits[place], -1)
            likely[place] = values, *torch.topk(values, min(drawing.logprobs, len(values)))
    return likely


def logprobs_of(
    likely: dict[int, tuple[Tensor, Tensor, Tensor]], tokens: Tensor
) -> dict[int, tuple[Tensor, Tensor]]:
    """By place in the batch: values of the chosen and the best, and the best ones' tokens."""
    told = {}
    for place, (values, best, best_tokens) in likely.items():
        chosen = values[tokens[place, None].clamp_min(0)]
        told[place] = torch.cat([chosen, best]), best_tokens
    return told


def _bias(sampling: Sampling, vocabulary: int, device: torch.device) -> Tensor | None:
    if not sampling.logit_bias:
        return None
    bias = torch.zeros(vocabulary)
    for token, value in sampling.logit_bias:
        if not 0 <= token < vocabulary:
            raise InvalidRequest(
                f"logit_bias names token {token}; this model has tokens 0 to {vocabulary - 1}.",
                param="logit_bias",
            )
        bias[token] = value
    return bias.to(device)
