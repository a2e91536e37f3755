"""How many tokens of a prompt are computed between two steps, so that nobody stalls for long."""

from __future__ import annotations

# What a running answer waits for a piece, and how soon a cancel is seen while nothing runs. With
# its own step, and a piece that is slower than those before, it waits less than 50 ms.
STALL_SECONDS = 0.035
ALONE_SECONDS = 0.25
LEAST = 16
# How much the newest measurement counts.
WEIGHT = 0.5


class Pace:
    """Measures as it goes; `most` is what the computer takes at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seconds: float | None = None

    def piece(self, running: bool) -> int:
        """Tokens of the next piece."""
        if self._seconds is None:
            return min(self._most, max(LEAST, self._most // 8))
        bound = STALL_SECONDS if running else ALONE_SECONDS
        return min(self._most, max(LEAST, int(bound / self._seconds)))

    def measured(self, tokens: int, seconds: float) -> None:
        """A piece of `tokens` took `seconds`; small ones say little."""
        if tokens < LEAST:
            return
        found = max(seconds, 1e-9) / tokens
        before = found if self._seconds is None else self._seconds
        self._seconds = WEIGHT * found + (1 - WEIGHT) * before
