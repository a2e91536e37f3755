"""What one rendering of a chat template may use up: steps, seconds, sizes and output."""

from __future__ import annotations

import time
from typing import Any

import jinja2

# Generous beside any published template (Qwen2.5's takes about 10 steps a message).
MAX_STEPS = 500_000
MAX_SECONDS = 10.0
MAX_BITS = 4_096
SPARE_OUTPUT = 1_000_000
OUTPUT_PER_INPUT = 30


class Budget:
    """What is left of one rendering."""

    def __init__(self, input_size: int) -> None:
        self._steps = MAX_STEPS
        self._deadline = time.monotonic() + MAX_SECONDS
        self.size = SPARE_OUTPUT + OUTPUT_PER_INPUT * input_size
        self._output = self.size

    def step(self, count: int = 1) -> None:
        self._steps -= count
        if self._steps < 0:
            raise TooMuch("it takes too many steps")
        if time.monotonic() > self._deadline:
            raise TooMuch("it takes too long")

    def write(self, length: int) -> None:
        self._output -= length
        if self._output < 0:
            raise TooMuch("it writes too much text")

    def hold(self, value: Any) -> Any:
        """`value`, unless it is larger than anything a template needs."""
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise TooMuch("it computes a number that is too large")
        if isinstance(value, str | list | tuple) and len(value) > self.size:
            raise TooMuch("it builds a value that is too large")
        return value


class TooMuch(jinja2.TemplateError):
    """The budget is spent."""
