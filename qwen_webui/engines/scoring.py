"""What is read from the logits of a given text, piece by piece: log-probabilities and tops.

Both paths hand their logits to these, so that they tell the same; neither computes any here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from qwen_webui.engines.failures import NOT_FINITE
from qwen_webui.errors import GenerationFailed
from qwen_webui.types import DistributionRequest, Distributions

# Rows of logits at once: bounds the memory they take over a large vocabulary.
SCORED_AT_ONCE = 256


class Reading(Protocol):
    """Takes the logits of a text's tokens in order."""

    def take(self, start: int, logits: Tensor) -> None:
        """Float32 [tokens, vocabulary] of the tokens from `start` on. Raises GenerationFailed
        where they are not finite."""
        ...


class Scores:
    """`values` are the natural-log probabilities of the tokens after the first."""

    def __init__(self, token_ids: Sequence[int]) -> None:
        self._ids = token_ids
        self.values: list[float] = []

    def take(self, start: int, logits: Tensor) -> None:
        """See Reading."""
        found = _following(logits, self._ids[start + 1 : start + 1 + len(logits)])
        self.values += (found - torch.logsumexp(logits, -1)).tolist()


class Tops:
    """The distributions that were asked for."""

    def __init__(self, asked: DistributionRequest) -> None:
        self._asked = asked
        self._rows: list[tuple[Tensor, ...]] = []
        self._at = None
        if asked.at is not None:
            numbers = torch.frombuffer(bytearray(asked.at), dtype=torch.int32)
            self._at = numbers.view(asked.positions, asked.top).long()

    def take(self, start: int, logits: Tensor) -> None:
        """See Reading. What stands before the positions asked for is only context."""
        skipped = max(0, self._asked.start - start)
        if skipped >= len(logits):
            return
        logits, start = logits[skipped:], start + skipped
        next_ids = self._asked.token_ids[start + 1 : start + 1 + len(logits)]
        following = _following(logits, next_ids)
        total = torch.logsumexp(logits, -1)
        ids = self._ids(start - self._asked.start, logits)
        logprobs = logits.gather(1, ids) - total[:, None]
        # Not 1 minus the sum: of a tail of 1e-6 that would leave rounding errors.
        tail = torch.logsumexp(logits.scatter(1, ids, -torch.inf), -1) - total
        rows = (ids.int(), logprobs, tail, following - total, logits.argmax(-1).int())
        self._rows.append(tuple(row.cpu() for row in rows))

    def found(self) -> Distributions:
        """All of it, once every piece was taken."""
        joined = [torch.cat(parts).contiguous() for parts in zip(*self._rows, strict=True)]
        positions, width = joined[0].shape
        assert positions == self._asked.positions, "every position was taken"
        return Distributions(positions, width, *(part.numpy().tobytes() for part in joined))

    def _ids(self, place: int, logits: Tensor) -> Tensor:
        """[rows, width], of the positions from `place` on."""
        if self._at is not None:
            return self._at[place : place + len(logits)].to(logits.device)
        return logits.topk(min(self._asked.top, logits.shape[1]), -1).indices


def _following(logits: Tensor, following: Sequence[int]) -> Tensor:
    """Of each row the logit of the token that follows."""
    if not bool(torch.isfinite(logits).all()):
        raise GenerationFailed(NOT_FINITE)
    ids = torch.tensor(following, device=logits.device)
    return logits.gather(1, ids[:, None])[:, 0]
