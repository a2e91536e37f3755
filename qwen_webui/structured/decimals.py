"""The expressions that pydantic writes for Decimal, without their look-aheads.

They begin by refusing a text without any digit, and count digits by looking ahead. Here the same
numbers, or fewer, are spelled out: at least one digit before the point, no zeros without need.
"""

from __future__ import annotations

import re

_BEGINNING = r"^(?!^[-+.]*$)[+-]?0*"
# Digits in all, and maybe how many of them after the point.
_COUNTED = re.compile(
    r"\(\?:\\d\{0,(\d+)\}\|\(\?=\[\\d\.\]\{1,\d+\}0\*\$\)"
    r"\\d(?:\*|\{0,\d+\})\\\.\\d(?:\*|\{0,(\d+)\})0\*\$\)"
)
_FREE = re.compile(r"\\d\*\\\.\?\\d(?:\*|\{0,(\d+)\})(?:0\*)?\$")
MAX_DIGITS = 40


def without_look_ahead(pattern: str) -> str | None:
    """The expression for the engine; None if it is not one of pydantic's."""
    if not pattern.startswith(_BEGINNING):
        return None
    rest = pattern.removeprefix(_BEGINNING)
    if found := _FREE.fullmatch(rest):
        places = "+" if found[1] is None else _at_most(int(found[1]))
        return f"^[+-]?[0-9]+{_fraction(places)}$"
    if found := _COUNTED.fullmatch(rest):
        first = min(int(found[1]), MAX_DIGITS)
        if found[2] is not None:
            whole = f"[0-9]{{1,{first}}}" if first else "0"
            return f"^[+-]?{whole}{_fraction(_at_most(int(found[2])))}$"
        # So many digits in all, wherever the point stands.
        ways = [f"[0-9]{{1,{n}}}{_fraction(_at_most(first - n))}" for n in range(1, first + 1)]
        return f"^[+-]?({'|'.join(ways)})$" if ways else None
    return None


def _at_most(places: int) -> str:
    return f"{{1,{min(places, MAX_DIGITS)}}}" if places > 0 else ""


def _fraction(places: str) -> str:
    return rf"(\.[0-9]{places})?" if places else ""
