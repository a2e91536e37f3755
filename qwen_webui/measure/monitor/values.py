"""What is measured of one moment, and how memory is split into who holds it."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Reading:
    """What the driver or the system tells. Bytes, percent, watts, degrees Celsius, megahertz; None
    for what this device or its driver does not tell. `engine` is what the process that computes
    holds. `utilisation` is of the card's multiprocessors, or of all the machine's processors."""

    memory_used: float | None = None
    memory_total: float | None = None
    engine: float | None = None
    utilisation: float | None = None
    memory_utilisation: float | None = None
    power: float | None = None
    temperature: float | None = None
    sm_clock: float | None = None
    memory_clock: float | None = None


@dataclass(frozen=True)
class Split:
    """Bytes of the memory in use by holder; together they are `memory_used`. `rest` is the
    program's own beside weights and cache, None where that is not told: `others` has it then."""

    weights: float | None = None
    cache: float | None = None
    rest: float | None = None
    others: float | None = None


@dataclass(frozen=True)
class Sample(Reading, Split):
    """One moment. `time` is in seconds since 1970. `tokens_per_second` is of all answers together
    since the sample before; `first_token` the mean delay, in seconds, of the answers that ended
    since then, None if none did."""

    time: float = 0.0
    tokens_per_second: float | None = None
    first_token: float | None = None
    running: float = 0
    waiting: float = 0


@dataclass(frozen=True)
class Program:
    """Another program that holds memory of the card."""

    name: str
    memory: int


MEMORY = (
    "memory_used",
    "memory_total",
    *("engine", "weights", "cache", "rest", "others"),
)
COLUMNS = tuple(field.name for field in fields(Sample) if field.name != "time")


def split(used: float | None, engine: float | None, weights: int, cache: int) -> Split:
    """Who holds `used` bytes. Files that are mapped and not yet read are not in memory, so each
    part is at most what is left of the whole."""
    if used is None:
        return Split()
    own = used if engine is None else min(engine, used)
    held_weights = min(weights, own)
    held_cache = min(cache, own - held_weights)
    rest = own - held_weights - held_cache
    if engine is None:
        return Split(held_weights, held_cache, None, rest)
    return Split(held_weights, held_cache, rest, used - own)


def per_second(before: int, now: int, seconds: float) -> float | None:
    """The rate of a count that went from `before` to `now`; None where no time went by."""
    return (now - before) / seconds if seconds > 0 else None
