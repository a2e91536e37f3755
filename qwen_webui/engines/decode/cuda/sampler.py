"""The sampler of a card: five kernels a draw (kernels/sampling.py), one CUDA graph a batch size.

What a request asks stands on the card from the moment that it takes its row, so a step's draw needs
nothing from the host but the masks of constrained rows. A graph draws for all rows of the last
step; where constrained rows are among those to be drawn, their logits are put there first. Rows
with a bias, and those of a prompt, are drawn for by the same kernels without a graph.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from qwen_webui.engines.decode.cuda.cache import MOST, power_of_two
from qwen_webui.engines.decode.cuda.kernels import sampling as kernels
from qwen_webui.engines.decode.cuda.kernels.choosing import choose_kernel
from qwen_webui.engines.decode.cuda.step import Start, launched
from qwen_webui.engines.decode.sampling import (
    Drawing,
    Draws,
    Mask,
    Rows,
    Sampler,
    likely_of,
    logprobs_of,
)
from qwen_webui.engines.decode.transfer import sent

BLOCK, BINS, MANY = (int(size.value) for size in (kernels.BLOCK, kernels.BINS, kernels.MANY))
WIDTH = int(kernels.WIDTH.value)
WARPS = 8


class CardSampler(Sampler):
    """See sampling.Sampler. `logits` [rows, vocabulary] and `rows` are those of the model's step,
    which its graphs write and read."""

    def __init__(self, logits: Tensor, rows: Tensor) -> None:
        vocabulary, device = logits.shape[1], logits.device
        # One row more, for columns that nobody asked for.
        super().__init__(MOST + 1, vocabulary, device)
        self._logits, self._rows, self._vocabulary = logits, rows, vocabulary
        self._blocks = -(-vocabulary // BLOCK)
        self._words = -(-vocabulary // 32)

        def empty(*size: int, dtype: torch.dtype = torch.int32) -> Tensor:
            return torch.zeros(*size, dtype=dtype, device=device)

        self._state = empty(MOST + 1, WIDTH)
        self._state[:, int(kernels.ONLY.value)] = -1
        self._masks = empty(MOST + 1, self._words)
        # Asked for seldom, and as large as the logits.
        self._bias: Tensor | None = None
        single = torch.float32
        self._scores = empty(MOST, vocabulary, dtype=single)
        self._tops = empty(MOST, self._blocks, dtype=single)
        self._places, self._broken = empty(MOST, self._blocks), empty(MOST, self._blocks)
        self._counts, self._masses = empty(MOST, BINS), empty(MOST, BINS, dtype=torch.int64)
        self._cuts, self._alls = empty(MOST, 2), empty(MOST, dtype=torch.int64)
        self._found, self._tokens = empty(MOST), empty(MOST, MANY)
        self._values = empty(MOST, MANY, dtype=single)
        self._likely = empty(MOST, self._blocks, dtype=torch.int64)
        self._out = empty(MOST, dtype=torch.int64)
        self.graphs: dict[int, torch.cuda.CUDAGraph] = {}

    def compile(self, start: Start) -> None:
        """Hand each kernel to `start`."""
        self._launch(start, self._logits, self._rows, 1, self._scores)

    def capture(self, sizes: Sequence[int]) -> None:
        """Record a graph for each number of rows; the rows are the spare one meanwhile."""
        for size in sizes:
            self._launch(launched, self._logits, self._rows, size, self._scores)
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._launch(launched, self._logits, self._rows, size, self._scores)
            self.graphs[size] = graph

    def release(self) -> None:
        """Give up the graphs."""
        self.graphs.clear()

    def seat(self, drawing: Drawing, prompt: Sequence[int]) -> None:
        """A sequence has taken `drawing.row`."""
        super().seat(drawing, prompt)
        if drawing.bias is not None:
            if self._bias is None:
                self._bias = torch.zeros_like(self._said, dtype=torch.float32)
            self._bias[drawing.row] = drawing.bias
        self._state[drawing.row] = sent(_written(drawing), self._device, torch.int32)

    def draw(self, logits: Rows, drawings: list[Drawing]) -> Draws:
        """One token for each row of `logits`. A list of them begins with rows of the last step, in
        their places; what else that step has left there is lost."""
        count = len(drawings)
        # Before the draw, which the card counts: where memory lacks for this it can be repeated.
        likely = likely_of(logits, drawings)
        step = self._logits[:count] if isinstance(logits, list) else logits
        own = step.data_ptr() == self._logits.data_ptr()
        graph = own and not any(drawing.bias is not None for drawing in drawings)
        self._write([d for d in drawings if d.mask is not None or not graph])
        if isinstance(logits, list):
            self._gather(logits, drawings)
        if graph:
            self.graphs[next(size for size in self.graphs if size >= count)].replay()
        else:
            rows = sent([d.row for d in drawings], self._device, torch.int32)
            bias = self._scores if self._bias is None else self._bias
            self._launch(launched, step, rows, count, bias)
        tokens = self._out[:count]
        for drawing in drawings:
            drawing.index += 1
        return Draws(tokens, logprobs_of(likely, tokens))

    def _gather(self, logits: list[Tensor], drawings: list[Drawing]) -> None:
        """Rows and their logits, where the graphs read them."""
        rows = [drawing.row for drawing in drawings]
        self._rows.copy_(sent(rows + [MOST] * (MOST - len(rows)), self._device, torch.int32))
        for place, row in zip(self._logits, logits, strict=False):
            if row.data_ptr() != place.data_ptr():
                place.copy_(row)

    def _write(self, drawings: list[Drawing]) -> None:
        """What may come next in their rows, and which draw of which token it is."""
        if not drawings:
            return
        written = [number for drawing in drawings for number in _written(drawing)]
        rows = sent([drawing.row for drawing in drawings], self._device)
        self._state[rows] = sent(written, self._device, torch.int32).view(-1, WIDTH)
        masked = {d.row: d.mask.words for d in drawings if d.mask and d.mask.words is not None}
        if masked:
            words = torch.empty(len(masked), self._words, dtype=torch.int32, pin_memory=True)
            for place, own in enumerate(masked.values()):
                words[place] = own[: self._words]
            if len(masked) < len(drawings):
                rows = sent(list(masked), self._device)
            self._masks[rows] = words.to(self._device, non_blocking=True)

    def _launch(self, start: Start, logits: Tensor, rows: Tensor, count: int, bias: Tensor) -> None:
        grid = (self._blocks, count)
        known: dict[str, Any] = {
            "VOCABULARY": self._vocabulary, "BLOCKS": self._blocks, "num_warps": WARPS,
        }  # fmt: skip
        wide = {"WIDE": power_of_two(self._blocks)}
        start(
            kernels.adjust_kernel, grid, logits, rows, self._state, self._asked, self._said, bias,
            self._masks, self._scores, self._tops, self._places, self._broken, self._counts,
            self._masses, self._found, WORDS=self._words, **known,
        )  # fmt: skip
        start(
            kernels.bins_kernel, grid, rows, self._state, self._scores, self._tops, self._counts,
            self._masses, **known, **wide,
        )  # fmt: skip
        start(
            kernels.border_kernel, (count,), rows, self._state, self._counts, self._masses,
            self._cuts, self._alls, num_warps=WARPS,
        )  # fmt: skip
        start(
            kernels.gather_kernel, grid, rows, self._state, self._scores, self._tops, self._cuts,
            self._found, self._values, self._tokens, self._likely, **known, **wide,
        )  # fmt: skip
        start(
            choose_kernel, (count,), rows, self._state, self._scores, self._tops,
            self._places, self._broken, self._cuts, self._alls, self._values, self._tokens,
            self._likely, self._said, self._out, **known, **wide,
        )  # fmt: skip


def _written(drawing: Drawing) -> list[int]:
    """As the kernels read it: floats by their bits."""
    shaping = drawing.shaping
    numbers = (
        shaping.temperature, shaping.top_p, shaping.min_p, drawing.repetition, drawing.presence,
        drawing.frequency,
    )  # fmt: skip
    mask = drawing.mask if drawing.mask is not None else Mask(None, None)
    whole = (
        shaping.top_k, _signed(drawing.seed), _signed(drawing.seed >> 32), drawing.index,
        drawing.attempt, -1 if mask.only is None else mask.only, drawing.penalized,
        drawing.bias is not None, mask.words is not None, 0,
    )  # fmt: skip
    return [*struct.unpack("6i", struct.pack("6f", *numbers)), *map(int, whole)]


def _signed(word: int) -> int:
    """The low 32 bits as an int32 has them."""
    word &= 0xFFFFFFFF
    return word - 2**32 if word >= 2**31 else word
