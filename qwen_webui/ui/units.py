"""Numbers as people read them. No words: those are in texts/."""

from __future__ import annotations

_STEPS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def size(count: int) -> str:
    """Bytes in the largest unit that leaves at least one; one decimal below a hundred."""
    for step, unit in _STEPS:
        if count >= step:
            value = count / step
            return f"{value:.1f} {unit}" if value < 100 else f"{value:,.0f} {unit}"
    return f"{count} B"


def count(number: int) -> str:
    """A whole number with its thousands apart."""
    return f"{number:,}"


def amount(done: int, unit: str) -> str:
    """A progress value: bytes as a size, anything else as a count."""
    return size(done) if unit == "bytes" else count(done)


def plain(number: float | int | None) -> str:
    """A setting without trailing zeros; a dash for none."""
    return "–" if number is None else f"{number:g}"


def seconds(value: float) -> str:
    """Two significant places below ten seconds, whole seconds above."""
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"
