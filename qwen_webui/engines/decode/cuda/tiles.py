"""How each product is cut up: measured on an H200, read by the step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cut:
    """Row tiles of 16 a program, warps that share its inputs, steps of weights on their way.

    Depth 0: row tiles of 16 a warp, and each warp takes all inputs of its own rows.
    """

    tiles: int
    warps: int
    depth: int

    @property
    def rows(self) -> int:
        """Output rows of a program."""
        return 16 * self.tiles * (self.warps if self.depth == 0 else 1)


DEFAULT = Cut(1, 4, 3)
# By product, bits (5 stands for 4 with zeros) and columns; others take those of 8 columns.
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
    ("down", 4, 32): Cut(2, 8, 1),
    ("gate_up", 4, 32): Cut(2, 4, 0),
    ("o", 4, 32): Cut(2, 8, 2),
    ("qkv", 4, 32): Cut(2, 4, 1),
    ("down", 5, 32): Cut(2, 8, 2),
    ("gate_up", 5, 32): Cut(4, 4, 0),
    ("o", 5, 32): Cut(2, 8, 2),
    ("qkv", 5, 32): Cut(2, 4, 1),
    ("down", 8, 32): Cut(2, 8, 2),
    ("gate_up", 8, 32): Cut(2, 4, 0),
    ("o", 8, 32): Cut(1, 8, 2),
    ("qkv", 8, 32): Cut(2, 4, 2),
    ("down", 16, 32): Cut(2, 8, 1),
    ("gate_up", 16, 32): Cut(2, 4, 1),
    ("head", 16, 32): Cut(2, 8, 0),
    ("o", 16, 32): Cut(2, 8, 2),
    ("qkv", 16, 32): Cut(2, 4, 1),
}


def cut_for(name: str, bits: int, zero: bool, columns: int, rows: int, inputs: int) -> Cut:
    """The measured cut, made to fit small shapes: rows are a multiple of 16, inputs of 128."""
    key = 5 if zero else bits
    best = BEST.get((name, key, columns))
    if best is None:
        best = BEST.get((name, key, 8), DEFAULT)
        if columns > 8:
            # More columns take the registers that deep prefetch would.
            best = Cut(1, min(best.warps, 8), 2)
    tiles, warps, depth = best.tiles, best.warps, best.depth
    if depth == 0:
        while warps > 1 and rows % (16 * tiles * warps):
            warps //= 2
    while rows % (16 * tiles):
        tiles //= 2
    while depth and warps > 1 and warps > inputs // 128:
        warps //= 2
    return Cut(tiles, warps, depth)
