"""The one seam between the scheduler and a device: who computes logits for whom.

A computer holds weights and a paged cache, and knows nothing of requests, text or sampling. All
calls come from one thread. cpu.py has one in PyTorch operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from qwen_webui.engines.decode.sampling import Sampler


@dataclass(frozen=True, slots=True)
class Timed:
    """How long a piece of a prompt took, by the clock of the device that computed it."""

    tokens: int
    seconds: float


class Computer(Protocol):
    """Rows are places in the batch, numbered from 0; each holds one sequence at a time."""

    @property
    def device(self) -> torch.device:
        """Where tokens come from and logits go to."""
        ...

    @property
    def vocabulary(self) -> int:
        """Logits of one token: the rows of the output matrix, padding included."""
        ...

    @property
    def rows(self) -> int:
        """Sequences decoded at once, at most."""
        ...

    @property
    def pages(self) -> int:
        """Pages of the cache that are the scheduler's to give out, numbered from 0."""
        ...

    @property
    def page_tokens(self) -> int:
        """Tokens of a page."""
        ...

    @property
    def piece(self) -> int:
        """Tokens of one `prefill` at most."""
        ...

    @property
    def asynchronous(self) -> bool:
        """Whether `decode` returns before its logits are computed. The scheduler then reads the
        tokens of a step while the next one is being computed."""
        ...

    @property
    def kernel(self) -> str:
        """What multiplies the weights, for people."""
        ...

    @property
    def weights_bytes(self) -> int:
        """As loaded, tables included."""
        ...

    @property
    def cache_bytes(self) -> int:
        """Of the whole cache, which is there from the start."""
        ...

    def seat(self, row: int, pages: Sequence[int]) -> None:
        """From now on the sequence in `row` has its tokens in `pages`, in this order: token t in
        page t // page_tokens. Called once when a sequence takes the row: pages for all that it
        may ever say are there. Several sequences may read one page; only one writes it, and only
        at positions that it has not read from others."""
        ...

    def prefill(
        self, row: int, token_ids: Sequence[int], start: int, every: bool = False
    ) -> Tensor:
        """Compute `token_ids` at positions `start` on; what stands before is in the cache.

        Float32 logits of the last one, [vocabulary]; with `every` of all, [tokens, vocabulary].
        They stay until the next prefill. An error (out of memory) leaves other rows unharmed.
        """
        ...

    def timed(self) -> Timed | None:
        """Of a piece that `prefill` was asked for and that has been computed, told once; None
        while there is no news. Never waits; of pieces that overtake each other some are not
        timed."""
        ...

    def decode(self, rows: Sequence[int], tokens: Tensor, positions: Sequence[int]) -> Tensor:
        """One token for each of `rows`: `tokens` [rows] int64 on the device, at `positions`.

        Float32 logits [rows, vocabulary], which stay until the next decode. A position may come
        again with another token: what is in the cache there is overwritten, never added to.
        """
        ...

    def likeliest(self, count: int) -> Tensor | None:
        """Of the last decode's first `count` rows, int64 on the device; -1 where logits are not
        numbers. Stays until the next decode. None where it is nobody's by-product."""
        ...

    def sampler(self) -> Sampler:
        """What draws tokens from its logits; one for its whole life."""
        ...

    def close(self) -> None:
        """Free everything. Nothing is called afterwards."""
        ...
