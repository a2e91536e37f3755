"""What the speed reports of this machine say of each checkpoint, for the advisor. Reads only."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from qwen_webui.errors import InvalidRequest
from qwen_webui.measure.speed.report import Answers, SpeedReport, SpeedRow, load_report
from qwen_webui.measure.surroundings import hardware
from qwen_webui.types import MemoryUse

# In the data folder; the newest report of a model takes the place of the one before.
FOLDER = "measurements"
# Of the settings that a report names.
PATH_SETTING = "engine path"
# Tokens of input that still count as a short prompt.
SHORT = 1_024

log = logging.getLogger(__name__)


def measured_here(data_dir: Path, machine: MemoryUse, engine_path: str) -> Mapping[str, float]:
    """Tokens a second by checkpoint's name: decode of one request with a short input, from the
    newest report. Reports of other hardware, or of another engine path, do not count. Blocks on
    the disk."""
    here, found = hardware(machine), dict[str, float]()
    for report in sorted(_reports(data_dir / FOLDER), key=lambda one: one.conditions.created):
        same_path = report.conditions.settings.get(PATH_SETTING) == engine_path
        if report.conditions.hardware == here and same_path:
            found |= {row.checkpoint: rate for row in report.rows if (rate := _rate(row))}
    return found


def _reports(folder: Path) -> list[SpeedReport]:
    found = []
    for path in folder.glob("speed-*.json"):
        try:
            found.append(load_report(path))
        except InvalidRequest as error:
            log.info("a report does not count: %s", error.message)
    return found


def _rate(row: SpeedRow) -> float | None:
    def counts(one: Answers) -> bool:
        return one.at_once == 1 and one.input_tokens <= SHORT and one.decode is not None

    shortest = min(filter(counts, row.answers), key=lambda one: one.input_tokens, default=None)
    return shortest.decode.median if shortest and shortest.decode else None
