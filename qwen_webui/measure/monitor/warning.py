"""Says once that memory runs out, and once that it no longer does."""

from __future__ import annotations

from dataclasses import dataclass

from qwen_webui.measure.monitor.values import Program, Sample

# Percentage points below the threshold at which it is over: memory that hovers there warns once.
GAP = 3.0


@dataclass(frozen=True)
class MemoryWarning:
    """The `number`-th of this run: what `sample` was when memory crossed the threshold, and the
    other program that holds most of the card, if that is known."""

    number: int
    sample: Sample
    biggest: Program | None = None


class Threshold:
    """`percent` of the memory is too much. `crossed` while it is, and until it is clearly less."""

    def __init__(self, percent: float) -> None:
        self.percent = percent
        self.crossed = False

    def see(self, sample: Sample) -> bool:
        """Whether this sample begins or ends it. One without a reading changes nothing."""
        share = share_of(sample)
        if share is None:
            return False
        crossed = share >= self.percent - (GAP if self.crossed else 0)
        changed, self.crossed = crossed != self.crossed, crossed
        return changed


def share_of(sample: Sample) -> float | None:
    """Percent of the memory that is in use."""
    if sample.memory_used is None or not sample.memory_total:
        return None
    return 100 * sample.memory_used / sample.memory_total
