"""Has two checkpoints read the same windows, one after the other, and compares what they predict.

The reference's predictions come from the store where they are there. Loads nothing itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qwen_webui.engines.base import Engine
from qwen_webui.measure.fidelity.statistics import BLOCK, Floats, Positions, divergence
from qwen_webui.measure.fidelity.store import ReferenceStore, key_of
from qwen_webui.measure.fidelity.texts import Window
from qwen_webui.types import DistributionRequest, Distributions

Done = Callable[[int], None]


@dataclass
class Reader:
    """Of `windows`; `top` ids of each position are kept of the reference, and `key` tells what
    its predictions depend on besides the tokens.

    `held` keeps in memory what one run needs where the store has lost it (a sweep, a full disk).
    """

    windows: Sequence[Window]
    store: ReferenceStore
    key: dict[str, str | int]
    top: int
    held: dict[str, Distributions] = field(default_factory=dict)

    async def missing(self) -> list[Window]:
        """Windows that the reference has still to read."""
        found = [await asyncio.to_thread(self._known, window) for window in self.windows]
        return [w for w, known in zip(self.windows, found, strict=True) if known is None]

    async def read(self, engine: Engine, windows: Sequence[Window], done: Done) -> None:
        """Have the reference read, and keep what it predicts."""
        for number, window in enumerate(windows, 1):
            asked = DistributionRequest(window.token_ids, window.start, self.top)
            found = await engine.distributions(asked)
            self.held[self._name(window)] = found
            await asyncio.to_thread(self.store.put, self._name(window), found)
            self.held.pop(self._name(window))
            done(number)

    async def reference(self) -> Positions | None:
        """Against itself; None unless all is known."""
        rows = []
        for window in self.windows:
            own = await asyncio.to_thread(self._known, window)
            if own is None:
                return None
            rows.append(_compared(window, own, own))
        return joined(rows)

    async def compared(self, engine: Engine, done: Done) -> tuple[Positions, bool]:
        """What `engine` predicts beside the reference, and whether all of that was known: if not,
        only the quantised side counts."""
        rows, whole = [], True
        for number, window in enumerate(self.windows, 1):
            known = await asyncio.to_thread(self._known, window)
            whole = whole and known is not None
            width, at = (known.width, known.ids) if known else (1, None)
            asked = DistributionRequest(window.token_ids, window.start, width, at)
            found = await engine.distributions(asked)
            rows.append(_compared(window, known or found, found))
            done(number)
        return joined(rows), whole

    def _name(self, window: Window) -> str:
        return key_of({**self.key, "start": window.start, "top": self.top}, window.token_ids)

    def _known(self, window: Window) -> Distributions | None:
        name = self._name(window)
        found = self.held.get(name) or self.store.get(name)
        # A file that was swapped for another whole one is no answer to this window.
        return found if found is not None and found.positions == window.positions else None


def joined(rows: Sequence[Positions]) -> Positions:
    """All of them, in order."""
    return Positions(
        np.concatenate([row.block for row in rows]),
        np.concatenate([row.reference for row in rows]),
        np.concatenate([row.quantised for row in rows]),
        np.concatenate([row.divergence for row in rows]),
        np.concatenate([row.flipped for row in rows]),
    )


def _compared(window: Window, reference: Distributions, quantised: Distributions) -> Positions:
    logp, tail_p, following_p, likeliest_p = _arrays(reference)
    logq, tail_q, following_q, likeliest_q = _arrays(quantised)
    places = window.place + np.arange(window.positions)
    return Positions(
        # Blocks never span two texts.
        places // BLOCK + (window.text << 40),
        -following_p,
        -following_q,
        divergence(logp, tail_p, logq, tail_q),
        likeliest_p != likeliest_q,
    )


def _arrays(found: Distributions) -> tuple[Floats, Floats, Floats, NDArray[np.int32]]:
    """logprobs, tail, following as float64; likeliest."""
    wide = np.frombuffer(found.logprobs, "<f4").reshape(found.positions, found.width)
    tail, following = np.frombuffer(found.tail, "<f4"), np.frombuffer(found.following, "<f4")
    likeliest = np.frombuffer(found.likeliest, "<i4")
    return wide.astype(float), tail.astype(float), following.astype(float), likeliest
