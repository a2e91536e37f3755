"""How each product is cut up: measured on an H200, read by the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from qwen_webui.engines.decode.cuda.weights import Product

HOPPER = (9, 0)
# Columns that a product is compiled for: the fewest that hold the rows of a step.
COLUMNS = (8, 16, 32)
# The narrowest that the compiler makes of wgmma.
LEAST_WGMMA = 16
# Groups of inputs that a share of them has at least.
LEAST_GROUPS = 2


@dataclass(frozen=True, slots=True)
class Cut:
    """Row tiles of 16 a program, warps that share its inputs, steps of weights on their way.

    With `stages` a product is made as kernels/wide.py says: all warps together, its inputs shared
    out among `split` programs.
    """

    tiles: int
    warps: int
    depth: int
    split: int = 1
    stages: int = 0
    # Registers a thread may take; 0 leaves it to the compiler.
    registers: int = 0

    @property
    def rows(self) -> int:
        """Output rows of a program."""
        return 16 * self.tiles


DEFAULT = Cut(1, 4, 3)
# By product, bits (5 stands for 4 with zeros) and columns.
BEST: dict[tuple[str, int, int], Cut] = {
    ("down", 4, 8): Cut(1, 16, 2),
    ("gate_up", 4, 8): Cut(1, 4, 7),
    ("o", 4, 8): Cut(1, 4, 7),
    ("qkv", 4, 8): Cut(1, 4, 7),
    ("down", 5, 8): Cut(2, 8, 4),
    ("gate_up", 5, 8): Cut(1, 4, 7),
    ("o", 5, 8): Cut(1, 4, 7),
    ("qkv", 5, 8): Cut(1, 4, 7),
    ("down", 8, 8): Cut(1, 16, 1),
    ("gate_up", 8, 8): Cut(1, 2, 7),
    ("o", 8, 8): Cut(1, 8, 4),
    ("qkv", 8, 8): Cut(1, 4, 7),
    ("down", 16, 8): Cut(1, 4, 4),
    ("gate_up", 16, 8): Cut(1, 2, 4),
    ("head", 16, 8): Cut(1, 2, 2),
    ("o", 16, 8): Cut(1, 8, 4),
    ("qkv", 16, 8): Cut(1, 4, 4),
    ("down", 4, 16): Cut(8, 8, 0, 8, 3),
    ("gate_up", 4, 16): Cut(4, 4, 0, 1, 3, 102),
    ("o", 4, 16): Cut(8, 8, 0, 14, 2),
    ("qkv", 4, 16): Cut(8, 8, 0, 7, 3),
    ("down", 5, 16): Cut(8, 8, 0, 8, 3),
    ("gate_up", 5, 16): Cut(4, 4, 0, 1, 3, 102),
    ("o", 5, 16): Cut(4, 4, 0, 14, 2),
    ("qkv", 5, 16): Cut(8, 8, 0, 7, 3),
    ("down", 8, 16): Cut(8, 8, 0, 8, 3),
    ("gate_up", 8, 16): Cut(4, 4, 0, 1, 3, 102),
    ("o", 8, 16): Cut(4, 4, 0, 14, 2),
    ("qkv", 8, 16): Cut(8, 8, 0, 7, 3),
    ("down", 16, 16): Cut(4, 4, 0, 4, 4),
    ("gate_up", 16, 16): Cut(4, 4, 0, 1, 4),
    ("head", 16, 16): Cut(4, 4, 0, 1, 4),
    ("o", 16, 16): Cut(4, 4, 0, 2, 4),
    ("qkv", 16, 16): Cut(4, 4, 0, 2, 4),
    ("down", 4, 32): Cut(8, 8, 0, 8, 3),
    ("gate_up", 4, 32): Cut(4, 4, 0, 1, 3, 102),
    ("o", 4, 32): Cut(8, 8, 0, 7, 2),
    ("qkv", 4, 32): Cut(4, 4, 0, 7, 3),
    ("down", 5, 32): Cut(8, 8, 0, 8, 3),
    ("gate_up", 5, 32): Cut(4, 4, 0, 2, 3),
    ("o", 5, 32): Cut(4, 4, 0, 7, 3),
    ("qkv", 5, 32): Cut(8, 8, 0, 7, 3),
    ("down", 8, 32): Cut(8, 8, 0, 8, 3),
    ("gate_up", 8, 32): Cut(4, 4, 0, 1, 3, 102),
    ("o", 8, 32): Cut(8, 8, 0, 7, 2),
    ("qkv", 8, 32): Cut(8, 8, 0, 7, 3),
    ("down", 16, 32): Cut(8, 8, 0, 4, 4),
    ("gate_up", 16, 32): Cut(4, 4, 0, 1, 3),
    ("head", 16, 32): Cut(4, 4, 0, 1, 4),
    ("o", 16, 32): Cut(4, 4, 0, 2, 4),
    ("qkv", 16, 32): Cut(4, 4, 0, 4, 3),
}


@dataclass(frozen=True, slots=True)
class Card:
    """What kernels may use beyond what all cards from compute capability 8.0 on have: launches
    that overlap, and products of whole warp groups."""

    pdl: bool
    wgmma: bool

    @classmethod
    def here(cls) -> Card:
        """The one that is there."""
        capability = torch.cuda.get_device_capability()
        return cls(pdl=capability >= HOPPER, wgmma=capability[0] == HOPPER[0])


@dataclass(frozen=True, slots=True)
class Launch:
    """How one product of `columns` columns is started; kernels/linear.py says what each means."""

    grid: tuple[int, int]
    options: dict[str, Any]
    shares: int

    @classmethod
    def of(cls, name: str, product: Product, columns: int, card: Card) -> Launch:
        """`shares`: float32 numbers that its programs leave for each other."""
        rows, inputs = product.rows, product.inputs
        cut = cut_for(name, product.bits, product.zero, columns, rows, inputs, card.wgmma)
        if cut.stages:
            columns = max(columns, LEAST_WGMMA)
        options = {
            "INPUTS": inputs, "BITS": product.bits, "ZERO": product.zero, "TILES": cut.tiles,
            "WARPS": cut.warps, "COLUMNS": columns, "DEPTH": cut.depth, "SPLIT": cut.split,
            "STAGES": cut.stages, "PDL": card.pdl, "launch_pdl": card.pdl,
            "num_warps": cut.warps, "num_stages": max(1, cut.stages),
        }  # fmt: skip
        if cut.registers:
            options["maxnreg"] = cut.registers
        shares = cut.split * rows * columns if cut.split > 1 else 1
        return cls((rows // cut.rows, cut.split), options, shares)


def cut_for(
    name: str, bits: int, zero: bool, columns: int, rows: int, inputs: int, wgmma: bool
) -> Cut:
    """The measured cut, made to fit small shapes: rows are a multiple of 16, inputs of 128."""
    key = 5 if zero else bits
    best = BEST.get((name, key, columns), BEST.get((name, key, 8), DEFAULT))
    if best.stages:
        groups = inputs // 128
        if wgmma and rows % best.rows == 0 and groups >= best.split * LEAST_GROUPS:
            return best
        best = DEFAULT
    if columns > 8:
        # More columns take the registers that deep prefetch would.
        best = Cut(1, min(best.warps, 8), 2)
    tiles, warps = best.tiles, best.warps
    while rows % (16 * tiles):
        tiles //= 2
    while warps > 1 and warps > inputs // 128:
        warps //= 2
    return Cut(tiles, warps, best.depth)
