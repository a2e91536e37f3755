"""One packed layout for GPTQ (4 and 8 bits) and AWQ weights, made for tensor cores.

Made for the fragments of mma.m16n8k16: a tile of 16 output rows by one group of 128 inputs is
one contiguous run of words in the order in which the 32 lanes of a warp want them, 16 bytes a
lane at a time. Within a word the values stand so that one mask yields the two halves of a
register. Plain torch on any device; multiplies nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qwen_webui.engines.decode.layouts import Plain

ROWS = 16
GROUP = 128
VALUES_AT_ONCE = 1 << 24


@dataclass(frozen=True, slots=True)
class Packed:
    """Weights [rows, inputs] of one product, as the decode kernels read them.

    words: int32 [rows / 16, groups, 64 * bits]. scales [rows / 16, groups, 8, 2]: float16 where
    every zero is the middle of the range, else int32 with 1024 + zero, a float16 too, above the
    scale.
    """

    words: Tensor
    scales: Tensor
    bits: int
    rows: int
    inputs: int

    @property
    def zeros(self) -> bool:
        """Whether rows have zeros of their own."""
        return self.scales.dtype == torch.int32


def pack(plain: Plain) -> Packed:
    """Rows a multiple of 16, inputs and groups of 128. A few rows at a time: what stands between
    takes four bytes a value, and a card may be nearly full."""
    rows, inputs = plain.values.shape
    assert rows % ROWS == 0 and plain.group == GROUP, "tiles are whole"
    tiles = plain.values.view(rows // ROWS, ROWS, inputs)
    at_once = max(1, VALUES_AT_ONCE // (ROWS * inputs))
    words = torch.cat([_words(part, plain.bits) for part in tiles.split(at_once)])
    middle = 2 ** (plain.bits - 1)
    symmetric = bool((plain.zeros == middle).all())
    scales = plain.scales
    if not symmetric:
        above = (plain.zeros.int() + 1024).half().view(torch.int16).to(torch.int32) << 16
        scales = above | (scales.view(torch.int16).to(torch.int32) & 0xFFFF)
    return Packed(words, _by_lane(scales), plain.bits, rows, inputs)


def _words(tiles: Tensor, bits: int) -> Tensor:
    """tiles [tiles, 16, inputs] of values to words [tiles, groups, 64 * bits]."""
    groups = tiles.shape[2] // GROUP
    if bits == 4:
        # k = (rep, word) * 32 + lane % 4 * 8 + pair * 2 + half
        split = tiles.view(-1, 2, 8, groups, 2, 2, 4, 4, 2)
        #        tile r1 g  group rep word t pair half -> tile group rep g t r1 word | half pair
        order = split.permute(0, 3, 4, 2, 6, 1, 5, 8, 7)
        shifts = torch.tensor([[0, 4, 8, 12], [16, 20, 24, 28]], dtype=torch.int32)
    else:
        # k = rep * 32 + lane % 4 * 8 + word * 4 + byte
        split = tiles.view(-1, 2, 8, groups, 4, 4, 2, 4)
        #        tile r1 g  group rep t word byte -> tile group rep g t r1 word | byte
        order = split.permute(0, 3, 4, 2, 5, 1, 6, 7).unsqueeze(-2)
        shifts = torch.tensor([[0, 8, 16, 24]], dtype=torch.int32)
    placed = order.to(torch.int32).bitwise_left_shift(shifts.to(tiles.device))
    words = placed.sum((-1, -2), dtype=torch.int32)
    return words.reshape(len(tiles), groups, GROUP * ROWS * bits // 32)


def unpack(packed: Packed) -> Plain:
    """What `pack` was given."""
    tiles, groups, bits = packed.rows // ROWS, packed.inputs // GROUP, packed.bits
    if bits == 4:
        words = packed.words.view(tiles, groups, 2, 8, 4, 2, 2, 1, 1)
        shifts = torch.tensor([[0, 4, 8, 12], [16, 20, 24, 28]], device=words.device)
        values = (words >> shifts.to(torch.int32)) & 15
        values = values.permute(0, 5, 3, 1, 2, 6, 4, 8, 7)
    else:
        words = packed.words.view(tiles, groups, 4, 8, 4, 2, 2, 1)
        shifts = torch.tensor([0, 8, 16, 24], device=words.device)
        values = (words >> shifts.to(torch.int32)) & 255
        values = values.permute(0, 5, 3, 1, 2, 4, 6, 7)
    values = values.reshape(packed.rows, packed.inputs).to(torch.uint8)
    scales = _by_row(packed.scales, packed.rows)
    if packed.zeros:
        above = (scales >> 16).to(torch.int16).view(torch.float16)
        zeros = (above.int() - 1024).to(torch.uint8)
        scales = scales.to(torch.int16).view(torch.float16)
    else:
        zeros = torch.full_like(scales, 2 ** (bits - 1)).to(torch.uint8)
    return Plain(values, scales, zeros, bits)


def _by_lane(values: Tensor) -> Tensor:
    """[rows, groups] to [rows / 16, groups, 8, 2]."""
    rows, groups = values.shape
    return values.view(rows // ROWS, 2, 8, groups).permute(0, 3, 2, 1).contiguous()


def _by_row(values: Tensor, rows: int) -> Tensor:
    return values.permute(0, 3, 2, 1).reshape(rows, -1)
