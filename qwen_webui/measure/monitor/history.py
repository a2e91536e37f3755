"""The samples of the last hour, in memory that does not grow, and what a plot wants of them.

Nothing is written down: it is gone when the program stops.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

from qwen_webui.measure.monitor.values import COLUMNS, MEMORY, Sample

HOUR = 3600  # seconds, and as many samples
_USED = COLUMNS.index("memory_used")

Row = tuple[float, ...]


@dataclass(frozen=True)
class Series:
    """Points in order of time, one for every `step` seconds in which there were samples: the mean
    of those that have a value. Memory is that of the sample with the most in use, so that its parts
    add up and a short peak is seen. None where nothing was told."""

    step: float
    times: tuple[float, ...]
    columns: Mapping[str, tuple[float | None, ...]]


class History:
    """A ring of numbers; what was not told is NaN in it."""

    def __init__(self, samples: int = HOUR) -> None:
        self._samples = samples
        self._count = 0
        self._times = array("d", [math.nan]) * samples
        self._columns = {name: array("d", [math.nan]) * samples for name in COLUMNS}

    def __len__(self) -> int:
        return min(self._count, self._samples)

    def add(self, sample: Sample) -> None:
        """The newest; the oldest goes when there is no more room."""
        place = self._count % self._samples
        self._times[place] = sample.time
        for name, column in self._columns.items():
            value = getattr(sample, name)
            column[place] = math.nan if value is None else value
        self._count += 1

    def series(self, since: float, step: float) -> Series:
        """From time `since` on, a point for every `step` seconds."""
        assert step > 0, "a point stands for some time"
        found = [
            (bucket * step, _point([row for _, row in rows]))
            for bucket, rows in groupby(self._rows(since), key=lambda row: row[0] // step)
        ]
        return Series(
            step,
            tuple(time for time, _ in found),
            {
                name: tuple(values[place] for _, values in found)
                for place, name in enumerate(COLUMNS)
            },
        )

    def _rows(self, since: float) -> Iterator[tuple[float, Row]]:
        for number in range(self._count - len(self), self._count):
            place = number % self._samples
            if self._times[place] >= since:
                yield (
                    self._times[place],
                    tuple(column[place] for column in self._columns.values()),
                )


def _point(rows: Sequence[Row]) -> tuple[float | None, ...]:
    fullest = max(rows, key=lambda row: -1 if math.isnan(row[_USED]) else row[_USED])
    point: list[float | None] = []
    for place, name in enumerate(COLUMNS):
        values = [fullest[place]] if name in MEMORY else [row[place] for row in rows]
        told = [value for value in values if not math.isnan(value)]
        point.append(fmean(told) if told else None)
    return tuple(point)
