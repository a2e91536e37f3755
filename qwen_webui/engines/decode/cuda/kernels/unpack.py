"""Packed words to the halves that a tensor core's fragment holds. Triton only; loads nothing.

Eight 4-bit or four 8-bit values become halves with one mask and one addition a pair, by a few
lines of PTX; the interpreter, which knows no inline assembly, computes the same in plain
operations.
"""

from __future__ import annotations

import os

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")

# A word of eight 4-bit values: pair i of the eight halves are values 2 i and 2 i + 1, read as
# 1024 + q or as 1024 + 16 q and brought down to q less the zero, all exact in halves.
_UNPACK4 = """
{
.reg .b32 a, b, c, d, even, odd, sixteenth, next;
mov.b32 sixteenth, 0x2c002c00;
%s
shr.u32 next, $8, 8;
lop3.b32 a, $8, 0x000f000f, 0x64006400, 0xea;
lop3.b32 b, $8, 0x00f000f0, 0x64006400, 0xea;
lop3.b32 c, next, 0x000f000f, 0x64006400, 0xea;
lop3.b32 d, next, 0x00f000f0, 0x64006400, 0xea;
sub.f16x2 a, a, even;
fma.rn.f16x2 b, b, sixteenth, odd;
sub.f16x2 c, c, even;
fma.rn.f16x2 d, d, sixteenth, odd;
mov.b32 {$0, $1}, a;
mov.b32 {$2, $3}, b;
mov.b32 {$4, $5}, c;
mov.b32 {$6, $7}, d;
}
"""
UNPACK4 = tl.constexpr(_UNPACK4 % "mov.b32 even, 0x64086408;\nmov.b32 odd, 0xd480d480;")
# The same with a zero of its own for each row: $9 holds 1024 + zero twice.
UNPACK4_ZERO = tl.constexpr(
    _UNPACK4 % "mov.b32 even, $9;\nmov.b32 odd, 0x63806380;\nsub.f16x2 odd, odd, $9;"
)

# A word of four 8-bit values.
UNPACK8 = tl.constexpr("""
{
.reg .b32 a, b, middle, high;
mov.b32 middle, 0x64806480;
mov.b32 high, 0x64646464;
prmt.b32 a, $4, high, 0x4140;
prmt.b32 b, $4, high, 0x4342;
sub.f16x2 a, a, middle;
sub.f16x2 b, b, middle;
mov.b32 {$0, $1}, a;
mov.b32 {$2, $3}, b;
}
""")
UNPACK16 = tl.constexpr("mov.b32 {$0, $1}, $2;")


@triton.jit
def _value(words, place: tl.constexpr, bits: tl.constexpr, zero):
    """Interpreter only: value `place` of each word less its zero."""
    half: tl.constexpr = place % 2
    shift: tl.constexpr = place // 2 * bits + half * 16 if bits == 4 else place * bits
    return (((words >> shift) & ((1 << bits) - 1)).to(tl.float32) - zero).to(tl.float16)


@triton.jit
def _halves4(words, zero, ZERO: tl.constexpr):
    """Words of eight 4-bit values to halves with new dimensions half, pair, pair."""
    if INTERPRETED:
        if ZERO:
            off = (zero & 0xFFFF).to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32) - 1024.0
        else:
            off = 8.0
        a = _value(words, 0, 4, off)
        b = _value(words, 1, 4, off)
        c = _value(words, 2, 4, off)
        d = _value(words, 3, 4, off)
        e = _value(words, 4, 4, off)
        f = _value(words, 5, 4, off)
        g = _value(words, 6, 4, off)
        h = _value(words, 7, 4, off)
    elif ZERO:
        a, b, c, d, e, f, g, h = tl.inline_asm_elementwise(
            UNPACK4_ZERO,
            "=h,=h,=h,=h,=h,=h,=h,=h,r,r",
            [words, zero],
            dtype=(tl.float16,) * 8,
            is_pure=True,
            pack=1,
        )
    else:
        a, b, c, d, e, f, g, h = tl.inline_asm_elementwise(
            UNPACK4,
            "=h,=h,=h,=h,=h,=h,=h,=h,r",
            [words],
            dtype=(tl.float16,) * 8,
            is_pure=True,
            pack=1,
        )
    low = tl.join(tl.join(a, e), tl.join(c, g))
    high = tl.join(tl.join(b, f), tl.join(d, h))
    #   (a, e) differ in the high bit of the pair, (a, c) in its low bit, low and high in the half
    return tl.join(low, high)


@triton.jit
def _halves8(words):
    """Words of four 8-bit values to halves with new dimensions pair, half."""
    if INTERPRETED:
        a = _value(words, 0, 8, 128.0)
        b = _value(words, 1, 8, 128.0)
        c = _value(words, 2, 8, 128.0)
        d = _value(words, 3, 8, 128.0)
    else:
        a, b, c, d = tl.inline_asm_elementwise(
            UNPACK8,
            "=h,=h,=h,=h,r",
            [words],
            dtype=(tl.float16,) * 4,
            is_pure=True,
            pack=1,
        )
    return tl.join(tl.join(a, c), tl.join(b, d))


@triton.jit
def _halves16(words, DTYPE: tl.constexpr):
    """Words of two 16-bit floats to a new dimension of them."""
    if INTERPRETED:
        both = tl.join(words & 0xFFFF, (words >> 16) & 0xFFFF)
        halves = both.to(tl.int16).to(DTYPE, bitcast=True)
    else:
        a, b = tl.inline_asm_elementwise(
            UNPACK16,
            "=h,=h,r",
            [words],
            dtype=(tl.float16,) * 2,
            is_pure=True,
            pack=1,
        )
        halves = tl.join(a, b).to(DTYPE, bitcast=True)
    return halves


@triton.jit
def _zero_of(scale, REPS: tl.constexpr, TILES: tl.constexpr, WARPS: tl.constexpr):
    """1024 + zero, twice in a word, in the shape of the words: [WARPS, TILES * REPS, 128]."""
    twice = ((scale >> 16) & 0xFFFF) * 0x10001
    order = tl.permute(twice, [2, 3, 1, 0, 4])
    fine = tl.reshape(order, [WARPS, TILES, 1, 8, 4, 2, 1])
    wide = tl.broadcast_to(fine, [WARPS, TILES, REPS, 8, 4, 2, 2])
    return tl.reshape(wide, [WARPS, TILES * REPS, 128])


@triton.jit
def fragments(
    words,
    scale,
    BITS: tl.constexpr,
    ZERO: tl.constexpr,
    TILES: tl.constexpr,
    WARPS: tl.constexpr,
    DTYPE: tl.constexpr,
    WGMMA: tl.constexpr,
):
    """Words of one group a warp to halves [WARPS, TILES * 16, 128].

    The inputs stand in the order (jj, jl, t, r2, half), or (jj, jl, r2, t, half) for WGMMA, as the
    compiler spreads them over the registers of a fragment: nothing has to move between lanes then.
    DTYPE is that of 16-bit weights; packed ones become float16.
    """
    if BITS == 4:
        if ZERO:
            halves = _halves4(words, _zero_of(scale, 2, TILES, WARPS), ZERO)
        else:
            halves = _halves4(words, 0, ZERO)
        #                      0      1     2   3  4  5   6    7   8    9
        #                      warp  tile  rep  g  t  r1 word  jl  r2 half
        fine = tl.reshape(halves, [WARPS, TILES, 2, 8, 4, 2, 2, 2, 2, 2])
        if WGMMA:
            order = tl.permute(fine, [0, 1, 5, 3, 2, 6, 7, 8, 4, 9])
        else:
            order = tl.permute(fine, [0, 1, 5, 3, 2, 6, 7, 4, 8, 9])
    elif BITS == 8:
        halves = _halves8(words)
        #                      0      1     2   3  4  5   6     7   8
        #                      warp  tile  rep  g  t  r1 word  r2 half
        fine = tl.reshape(halves, [WARPS, TILES, 4, 8, 4, 2, 2, 2, 2])
        if WGMMA:
            order = tl.permute(fine, [0, 1, 5, 3, 2, 6, 7, 4, 8])
        else:
            order = tl.permute(fine, [0, 1, 5, 3, 2, 6, 4, 7, 8])
    else:
        halves = _halves16(words, DTYPE)
        #                          0   1      2     3   4   5  6   7   8
        #                          g  warp  tile   r1  jj   t  jl  r2 half
        fine = tl.reshape(halves, [8, WARPS, TILES, 2, 4, 4, 2, 2, 2])
        order = tl.permute(fine, [1, 2, 3, 0, 4, 6, 5, 7, 8])
    return tl.reshape(order, [WARPS, TILES * 16, 128])
