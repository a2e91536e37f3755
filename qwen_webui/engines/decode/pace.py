"""What a step leaves time for, so that nobody stalls for long: a piece of a prompt, and verdicts on
constrained answers."""

from __future__ import annotations

import time
from collections import deque

# What a running answer waits for a piece, and how soon a cancel is seen while nothing runs. With
# its own step, and a piece that is slower than those before, it waits less than 50 ms.
STALL_SECONDS = 0.03
ALONE_SECONDS = 0.25
LEAST = 16
# How much the newest measurement counts.
WEIGHT = 0.5
# Of a step, what verdicts are waited for; the rest is for asking the device for the next one.
PATIENCE = 0.5
STEPS = 8


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


class Patience:
    """How long the host may wait in a step before the device has nothing to do."""

    def __init__(self) -> None:
        self._steps: deque[float] = deque(maxlen=STEPS)
        self._began = 0.0

    def step_began(self) -> None:
        """The device has begun a step."""
        now = time.perf_counter()
        if self._began:
            self._steps.append(now - self._began)
        self._began = now

    def left(self) -> float:
        """Seconds. The shortest of the last steps counts: others waited for somebody."""
        step = min(self._steps, default=0.0)
        return self._began + PATIENCE * step - time.perf_counter()
