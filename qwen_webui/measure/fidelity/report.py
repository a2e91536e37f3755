"""The values of a fidelity report, and reading one back. The standard library only.

What each figure means is definitions.py's to say; writing.py makes files of a report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_webui.errors import InvalidRequest
from qwen_webui.measure.surroundings import Conditions

FORMAT = "qwen-webui fidelity 1"
# A report is some kilobytes; what is larger is another file.
_MOST_BYTES = 4 << 20


@dataclass(frozen=True)
class Figure:
    """A measured value with its 95 % interval, from `n` positions, tasks or quotations. Without
    `low` and `high` there was too little text for an interval."""

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class SkillRow:
    """Tasks of one skill and language."""

    skill: str
    language: str
    passed: int
    total: int


@dataclass(frozen=True)
class FidelityRow:
    """One precision. A figure that was not measured is None; `error` says why where it failed.

    `kl` in nats a token, `flips` and the shares from 0 to 1, perplexities as they are.
    """

    precision: str
    checkpoint: str
    is_reference: bool
    device: str = ""
    dtype: str = ""
    kernel: str = ""
    seconds: float = 0.0
    kl: Figure | None = None
    flips: Figure | None = None
    perplexity: Figure | None = None
    perplexity_ratio: Figure | None = None
    tasks: Figure | None = None
    json_valid: Figure | None = None
    quotations: Figure | None = None
    skills: tuple[SkillRow, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Surroundings(Conditions):
    """With the texts that were read and the tasks that were asked."""

    texts: tuple[str, ...]
    tasks: str


@dataclass(frozen=True)
class FidelityReport:
    """All precisions of one model. `complete` is False while others are still to come, and stays
    so where the measurement was stopped."""

    model: str
    surroundings: Surroundings
    rows: tuple[FidelityRow, ...]
    complete: bool


def load_report(path: Path) -> FidelityReport:
    """Read the JSON file of a report. Raises InvalidRequest for any other file."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has over {_MOST_BYTES} bytes")
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["format"] != FORMAT:
            raise ValueError(f"its format is {value['format']!r}")
        surroundings = dict(value["surroundings"])
        surroundings["texts"] = tuple(surroundings["texts"])
        rows = tuple(_row(row) for row in value["rows"])
        where = Surroundings(**surroundings)
        return FidelityReport(str(value["model"]), where, rows, bool(value["complete"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(
            f"{path.name} is no fidelity report that can be read ({error}); expected is the JSON "
            "file that `qwen-webui fidelity` writes. Measure again.",
            param="path",
        ) from error


def _row(value: Mapping[str, Any]) -> FidelityRow:
    figures: dict[str, Any] = {
        name: Figure(**part) if isinstance(part, dict) else part for name, part in value.items()
    }
    figures["skills"] = tuple(SkillRow(**part) for part in value["skills"])
    return FidelityRow(**figures)
