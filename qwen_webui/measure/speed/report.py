"""The values of a speed report, and reading one back. The standard library only.

What each figure means is definitions.py's to say; writing.py makes files of a report.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from qwen_webui.errors import InvalidRequest
from qwen_webui.measure.speed.shaped import shaped
from qwen_webui.measure.surroundings import Conditions

FORMAT = "qwen-webui speed 1"
# A report is some kilobytes; what is larger is another file.
_MOST_BYTES = 4 << 20
_OWN = ("model", "conditions", "copy_rate", "clipped", "rows", "complete")


@dataclass(frozen=True)
class Spread:
    """The median of `n` measured values, and the least and most of them."""

    median: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Answers:
    """Answers of one length, `at_once` of them together. Seconds, tokens a second, bytes.

    `whole` and `decode` are of each request, `together` is of all. Limit and share are told of one
    request. `error` says why nothing was measured.
    """

    input_tokens: int
    output_tokens: int
    at_once: int
    first_token: Spread | None = None
    whole: Spread | None = None
    decode: Spread | None = None
    together: Spread | None = None
    bytes_per_token: int | None = None
    limit: float | None = None
    share: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class SpeedRow:
    """One precision. Bytes and seconds; what was not measured is None.

    `cache_bytes` is what the load set aside, 0 where each answer takes its own. `start_seconds` is
    of the first precision, `swap_seconds` of the others. `stops_held_back` where answers had to be
    kept from ending early.
    """

    precision: str
    checkpoint: str
    device: str = ""
    dtype: str = ""
    kernel: str = ""
    context: int = 0
    weights_bytes: int | None = None
    cache_bytes: int | None = None
    kv_bytes_per_token: int | None = None
    peak_bytes: int | None = None
    load_seconds: float | None = None
    start_seconds: float | None = None
    swap_seconds: float | None = None
    stops_held_back: bool = False
    notes: tuple[str, ...] = ()
    answers: tuple[Answers, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class SpeedReport:
    """All precisions of one model. `copy_rate` in bytes a second; `clipped` says which lengths are
    not as they were wanted. `complete` is False while figures are still to come, and stays so
    where the measurement was stopped."""

    model: str
    conditions: Conditions
    copy_rate: float | None
    clipped: tuple[str, ...]
    rows: tuple[SpeedRow, ...]
    complete: bool

    @property
    def failed(self) -> bool:
        """Whether anything has an error."""
        return any(row.error or any(one.error for one in row.answers) for row in self.rows)


def load_report(path: Path) -> SpeedReport:
    """Read the JSON file of a report. Raises InvalidRequest for any other file."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has over {_MOST_BYTES} bytes")
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["format"] != FORMAT:
            raise ValueError(f"its format is {str(value['format'])[:40]!r}")
        return shaped(SpeedReport, {name: value[name] for name in _OWN})
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidRequest(
            f"{path.name} is no speed report that can be read ({error}); expected is the JSON "
            "file that `qwen-webui bench` writes. Measure again.",
            param="path",
        ) from error
