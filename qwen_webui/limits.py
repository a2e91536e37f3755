"""The range of every sampling value, and the one function that checks them.

Where a value comes from (a request, a persona, the page) is the caller's business; so is the room
that a checkpoint's context leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qwen_webui.errors import InvalidRequest
from qwen_webui.types import Sampling

MAX_NEW_TOKENS = 8192
MAX_STOP_STRINGS = 16
MAX_STOP_LENGTH = 256


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included unless `above_low`."""

    low: float
    high: float
    whole: bool = False
    above_low: bool = False

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        # NaN compares as False with everything, so it is in no range.
        above = value > self.low if self.above_low else value >= self.low
        return above and value <= self.high

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        low, high = (f"{end}" if self.whole else f"{end:g}" for end in (self.low, self.high))
        if self.above_low:
            return f"{kind} above {low} and up to {high}"
        return f"{kind} from {low} to {high}"


RANGES: Mapping[str, Range] = {
    "temperature": Range(0, 2),
    "top_p": Range(0, 1, above_low=True),
    "top_k": Range(0, 1_000_000, whole=True),
    "min_p": Range(0, 1),
    # Logits are divided by it: in 32 bits a number next to 0 makes them infinite.
    "repetition_penalty": Range(0.01, 2),
    "presence_penalty": Range(-2, 2),
    "frequency_penalty": Range(-2, 2),
    "logprobs": Range(0, 20, whole=True),
    "seed": Range(0, 2**63 - 1, whole=True),
    "max_new_tokens": Range(1, MAX_NEW_TOKENS, whole=True),
}
LOGIT_BIAS = Range(-100, 100)


def check_sampling(sampling: Sampling) -> None:
    """Raise InvalidRequest that names the first field out of its range."""
    for name, allowed in RANGES.items():
        value = getattr(sampling, name)
        if value is not None and value not in allowed:
            raise InvalidRequest(
                f"{name} is {value!r}; it must be {allowed}, or left out.", param=name
            )
    _check_stop(sampling.stop)
    for _, bias in sampling.logit_bias:
        if bias not in LOGIT_BIAS:
            raise InvalidRequest(
                f"logit_bias holds {bias!r}; every bias must be {LOGIT_BIAS}.", param="logit_bias"
            )


def _check_stop(stop: tuple[str, ...]) -> None:
    if len(stop) > MAX_STOP_STRINGS:
        raise InvalidRequest(
            f"stop holds {len(stop)} strings; at most {MAX_STOP_STRINGS} are allowed.",
            param="stop",
        )
    for text in stop:
        if not isinstance(text, str) or not 1 <= len(text) <= MAX_STOP_LENGTH:
            raise InvalidRequest(
                f"A stop string must be text of 1 to {MAX_STOP_LENGTH} characters.", param="stop"
            )
