"""Bounds for numbers: always two, inclusive, and such that no written number rounds across them.

Without bounds a number may be written that no reader can hold (1e400), and `0.00...01` reads as
0. The bounds put where a schema has none are those of exact whole numbers in JSON (RFC 8259) and,
for fractions, ones that keep four decimals.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from qwen_webui.structured.formats import NUMBERS

KEYWORDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format")
EXACT = 2**53 - 1
LARGEST_WHOLE = 10**18
LARGEST = 10**12
# Digits that every double keeps. Of a bound with more, llguidance 1.9 lets its neighbours through:
# 11.81 where 11.809999999999999 is the most.
DIGITS = 15
# Tried in turn: few digits first, then finer for close bounds and coarser for large ones.
_STEPS = (1e-6, 1e-9, 1e-12, 1e-3, 1.0)


def bounds(schema: dict[str, Any], *, whole: bool) -> tuple[float, float]:
    """Least and greatest number that may be written. The first is above the second if none may."""
    low, high = _whole(schema) if whole else _fraction(schema)
    span = NUMBERS.get(str(schema.get("format")))
    if span is not None:
        low, high = max(low, span[0]), min(high, span[1])
    return low, high


def _whole(schema: dict[str, Any]) -> tuple[int, int]:
    lows = [math.ceil(schema["minimum"])] if "minimum" in schema else []
    highs = [math.floor(schema["maximum"])] if "maximum" in schema else []
    if "exclusiveMinimum" in schema:
        lows.append(math.floor(schema["exclusiveMinimum"]) + 1)
    if "exclusiveMaximum" in schema:
        highs.append(math.ceil(schema["exclusiveMaximum"]) - 1)
    low, high = _filled(max(lows, default=None), min(highs, default=None), EXACT, LARGEST_WHOLE)
    return int(low), int(high)


def _fraction(schema: dict[str, Any]) -> tuple[float, float]:
    low = schema.get("minimum")
    high = schema.get("maximum")
    if "exclusiveMinimum" in schema:
        ends = [schema[name] for name in ("maximum", "exclusiveMaximum") if name in schema]
        above = _beside(schema["exclusiveMinimum"], math.inf, min(ends, default=None))
        low = above if low is None else max(low, above)
    if "exclusiveMaximum" in schema:
        below = _beside(schema["exclusiveMaximum"], -math.inf, low)
        high = below if high is None else min(high, below)
    low, high = _filled(low, high, LARGEST, LARGEST)
    found = _shorter(low, ROUND_CEILING), _shorter(high, ROUND_FLOOR)
    return tuple(int(n) if float(n).is_integer() else float(n) for n in found)  # type: ignore[return-value]


def _shorter(bound: float, rounding: str) -> float:
    """`bound` in at most DIGITS digits, rounded to the inside."""
    exact = Decimal(repr(bound))
    places = exact.adjusted() - DIGITS + 1
    return float(exact.quantize(Decimal((0, (1,), places)), rounding)) if _long(exact) else bound


def _long(number: Decimal) -> bool:
    return len(number.normalize().as_tuple().digits) > DIGITS


def _beside(bound: float, towards: float, other: float | None) -> float:
    """A number next to `bound` with few digits, or the very next where those leave no room."""
    for size in _STEPS:
        step = math.copysign(size, towards)
        near = round(bound + step, 12)
        room = other is None or (near - other) * step < 0
        if room and (near - bound) * step > 0:
            return near
    return math.nextafter(bound, towards)


def _filled(low: float | None, high: float | None, usual: int, largest: int) -> tuple[float, float]:
    if low is None:
        low = -usual if high is None or high >= -usual else -largest
    if high is None:
        high = usual if low <= usual else largest
    return max(low, -largest), min(high, largest)
