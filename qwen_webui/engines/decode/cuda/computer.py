"""The Computer of an NVIDIA card: steps as CUDA graphs, long prompts by the library's products.

Everything goes to the current stream of the one thread that calls; nothing here waits for the
card but `prefill`'s upload of a prompt. Reads no files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from qwen_webui.engines.decode.computer import Timed
from qwen_webui.engines.decode.cuda.cache import MOST, PAGE, Buffers, Cache
from qwen_webui.engines.decode.cuda.compiling import compile_all
from qwen_webui.engines.decode.cuda.host import PinnedCopy, copy_bytes
from qwen_webui.engines.decode.cuda.prefill import Prefill
from qwen_webui.engines.decode.cuda.sampler import CardSampler
from qwen_webui.engines.decode.cuda.step import DecodeStep, Start
from qwen_webui.engines.decode.cuda.tiles import Card
from qwen_webui.engines.decode.cuda.weights import Weights
from qwen_webui.engines.decode.host_cache import Stop

SIZES = (1, 2, 4, 8, 16, 32)
# Tokens of a prompt that steps compute sooner than Prefill does, of packed weights.
FEW = 96
# Copies to the card that may be on their way before a place is written again.
PLACES = 4


class CudaComputer:
    """See computer.Computer, whose contract this keeps."""

    page_tokens = PAGE
    rows = MOST
    asynchronous = True

    def __init__(self, weights: Weights, cache: Cache, card: Card, piece: int) -> None:
        self.piece = piece
        shape, device = weights.shape, weights.table.device
        self.device, self.vocabulary, self.pages = device, shape.vocabulary, cache.pages
        self.weights_bytes = weights.bytes
        self.cache_bytes = cache.k.nbytes + cache.v.nbytes
        bits = weights.layers[0].qkv.bits
        self.kernel = f"Triton {'dense' if bits == 16 else f'{bits}-bit'}"
        self.weights, self._cache = weights, cache
        self.buffers = Buffers(weights, cache.table.shape[1], card)
        logits = torch.zeros(2, MOST, shape.vocabulary, device=device)
        self._steps = {
            size: DecodeStep(weights, cache, self.buffers, logits[0], size) for size in SIZES
        }
        # Its logits stay through decodes, and theirs through it.
        self._prompt = DecodeStep(weights, cache, self.buffers, logits[1], MOST)
        self._sampler = CardSampler(logits[0], self.buffers.rows)
        self._prefill = Prefill(weights, cache, card)
        # Prefill reads weights in 16 bits; a few steps read packed ones sooner.
        self._few = MOST if bits == 16 else FEW
        self._host = torch.zeros(PLACES, 2, MOST, dtype=torch.int32, pin_memory=True)
        self._copied = [torch.cuda.Event() for _ in range(PLACES)]
        self._place = 0
        # Around a piece of a prompt, and its tokens until it has been told how long it took.
        self._began, self._ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._timing = 0

    def get_ready(self, more: Sequence[Callable[[Start], object]] = ()) -> DecodeStep:
        """Compile every kernel, those that `more` starts too, and record every graph: of the model
        and of the sampler, one a batch size. Returns the step of one row."""
        handing_out = [step.compile for step in (*self._steps.values(), self._prompt)]
        compile_all([*handing_out, self._prefill.compile, self._sampler.compile, *more])
        for step in (*self._steps.values(), self._prompt):
            step.capture()
        self._sampler.capture(SIZES)
        return self._steps[1]

    def seat(self, row: int, pages: Sequence[int]) -> None:
        """The table of `row` goes to the card."""
        self._cache.seat(row, torch.tensor(pages, dtype=torch.int32))

    def prefill(
        self, row: int, token_ids: Sequence[int], start: int, every: bool = False
    ) -> Tensor:
        """A few tokens by steps with a column for each, more by Prefill."""
        count = len(token_ids)
        assert 0 < count <= self.piece, "a piece has tokens, and no more than it may"
        tokens = torch.tensor(token_ids).to(self.device, non_blocking=True)
        if timing := self._timing == 0:
            self._began.record()
        if count > (MOST if every else self._few):
            logits = self._prefill.run(tokens, self._cache.table[row], start, every)
        else:
            logits = self._by_steps(row, tokens, start, every)
        if timing:
            self._ended.record()
            self._timing = count
        return logits

    def _by_steps(self, row: int, tokens: Tensor, start: int, every: bool) -> Tensor:
        for part in tokens.split(MOST):
            self._upload([row] * len(part), range(start, start + len(part)), MOST)
            self.buffers.tokens[: len(part)].copy_(part)
            self._prompt.run()
            start += len(part)
        return self._prompt.logits[: len(part)] if every else self._prompt.logits[len(part) - 1]

    def first_of(self, token_ids: list[int], by_steps: bool) -> Tensor:
        """Logits after `token_ids` in row 0, one way or the other, for the check after a load."""
        tokens = torch.tensor(token_ids, device=self.device)
        with torch.inference_mode():
            if by_steps:
                return self._by_steps(0, tokens, 0, every=False)
            return self._prefill.run(tokens, self._cache.table[0], 0, every=False)

    def timed(self) -> Timed | None:
        """See computer.Computer."""
        if self._timing == 0 or not self._ended.query():
            return None
        tokens, self._timing = self._timing, 0
        return Timed(tokens, self._began.elapsed_time(self._ended) / 1000)

    def decode(self, rows: Sequence[int], tokens: Tensor, positions: Sequence[int]) -> Tensor:
        """The smallest graph that holds the rows; columns left over compute on the spare row."""
        count = len(rows)
        step = self._steps[next(size for size in SIZES if size >= count)]
        self._upload(rows, positions, step.count)
        self.buffers.tokens[:count].copy_(tokens)
        step.run()
        return step.logits[:count]

    def likeliest(self, count: int) -> Tensor:
        """Of the last decode's first `count` rows, int64; -1 where logits are not numbers.
        Stays until the next decode or prefill."""
        return self.buffers.likeliest[:count]

    def sampler(self) -> CardSampler:
        """See computer.Computer."""
        return self._sampler

    @property
    def copy_bytes(self) -> int:
        """See host_cache.Copyable."""
        return copy_bytes(self.weights)

    def saved(self, stop: Stop) -> PinnedCopy:
        """See host_cache.Copyable: loading.restore makes a computer of it again. May be called
        from another thread than everything else."""
        return PinnedCopy(self.weights, stop)

    def close(self) -> None:
        """Let go of graphs, cache and weights."""
        torch.cuda.synchronize(self.device)
        for step in (*self._steps.values(), self._prompt):
            step.release()
        self._sampler.release()
        del (
            self._sampler,
            self._steps,
            self._prompt,
            self._prefill,
            self._cache,
            self.buffers,
            self.weights,
        )

    def _upload(self, rows: Sequence[int], positions: Sequence[int], columns: int) -> None:
        """Rows and positions of `columns` in one copy that nobody waits for."""
        self._place = (self._place + 1) % PLACES
        self._copied[self._place].synchronize()
        spare = [self._cache.spare_row] * (columns - len(rows))
        host = self._host[self._place].numpy()
        host[0, :columns] = [*rows, *spare]
        host[1, :columns] = [*positions, *([0] * len(spare))]
        self.buffers.where.copy_(self._host[self._place], non_blocking=True)
        self._copied[self._place].record()
