"""Device memory of the decode path beside the weights: the paged cache, and a step's buffers."""

from __future__ import annotations

import torch
from torch import Tensor

from qwen_webui.engines.decode.cuda.packing import ROWS
from qwen_webui.engines.decode.cuda.tiles import COLUMNS, Card, Launch
from qwen_webui.engines.decode.cuda.weights import Weights

PAGE = 64
# Most rows of a step, and how many programs share out a single row's attention: about one program
# a multiprocessor in all.
MOST = 32
SHARES = 32
LEAST_SHARES = 4


def power_of_two(number: int) -> int:
    """The next one, or the number itself."""
    return 1 << (number - 1).bit_length()


class Cache:
    """K and V of every layer in pages of PAGE tokens, the pages of each row, rotation tables.

    One page and one row more than are given out are there for columns that nobody asked for.
    cos, sin: [positions, head size / 2]. table: int32 [rows + 1, most pages of a sequence].
    """

    def __init__(self, weights: Weights, pages: int, rows: int, cos: Tensor, sin: Tensor) -> None:
        shape, device = weights.shape, weights.table.device
        size = (shape.layers, pages + 1, shape.kv_heads, PAGE, shape.head)
        self.k = torch.zeros(size, dtype=weights.dtype, device=device)
        self.v = torch.zeros_like(self.k)
        self.cos, self.sin = (half.to(device, weights.dtype).contiguous() for half in (cos, sin))
        self.pages, self.spare_row = pages, rows
        # A width that 16 divides: kernels are compiled for that, or for any other, apart.
        width = -(-len(cos) // PAGE)
        width = -(-width // 16) * 16
        self.table = torch.full((rows + 1, width), pages, dtype=torch.int32, device=device)

    def seat(self, row: int, pages: Tensor) -> None:
        """The pages of `row`; what stands behind them is the spare page."""
        assert len(pages) <= self.table.shape[1], "a sequence is no longer than the context"
        self.table[row].fill_(self.pages)
        self.table[row, : len(pages)].copy_(pages, non_blocking=True)


def page_bytes(weights: Weights) -> int:
    """K and V of all layers for PAGE tokens."""
    shape = weights.shape
    return 2 * shape.layers * shape.kv_heads * shape.head * PAGE * weights.dtype.itemsize


class Buffers:
    """What a step reads, and what its kernels hand on to each other."""

    def __init__(self, weights: Weights, width: int, card: Card) -> None:
        shape, device, dtype = weights.shape, weights.table.device, weights.dtype
        self.card = card

        def half(size: int) -> Tensor:
            return torch.zeros(MOST, size, dtype=dtype, device=device)

        def single(*size: int) -> Tensor:
            return torch.zeros(*size, device=device)

        def whole(*size: int) -> Tensor:
            return torch.zeros(*size, dtype=torch.int32, device=device)

        self.tokens = torch.zeros(MOST, dtype=torch.int64, device=device)
        self.likeliest = torch.zeros(MOST, dtype=torch.int64, device=device)
        # Rows and positions come in one copy.
        self.where = whole(2, MOST)
        self.rows, self.positions = self.where[0], self.where[1]
        self.pages = whole(MOST, width)
        self.h, self.x = half(shape.hidden), half(shape.hidden)
        self.q, self.attended = half(shape.heads * shape.head), half(shape.heads * shape.head)
        self.mlp = half(shape.intermediate)
        span = power_of_two(shape.hidden // ROWS)
        self.partial = single(MOST, span), single(MOST, span)
        self.scale = single(MOST), single(MOST)
        shares = max(self.shares(1 << power) << power for power in range(MOST.bit_length()))
        self.share_sum = single(shares, shape.kv_heads, 16, shape.head)
        self.share_top = single(shares, shape.kv_heads, 16)
        self.share_weight = single(shares, shape.kv_heads, 16)
        self.arrived = whole(MOST, shape.kv_heads)
        launches = [
            Launch.of(name, product, columns, card)
            for name, product in (*weights.layers[0].products, ("head", weights.head))
            for columns in COLUMNS
        ]
        self.product_shares = single(max(launch.shares for launch in launches))
        self.programs_arrived = whole(max(launch.grid[0] for launch in launches))
        programs = weights.head.rows // ROWS
        self.best, self.best_row = single(MOST, programs), whole(MOST, programs)

    @staticmethod
    def shares(count: int) -> int:
        """Into how many parts each of `count` rows' attention is cut: about one program a
        multiprocessor in all."""
        return max(LEAST_SHARES, SHARES >> (count - 1).bit_length())

    def spare(self, row: int) -> None:
        """All columns are `row`, at its first position."""
        self.rows.fill_(row)
        self.positions.zero_()
        self.tokens.zero_()
