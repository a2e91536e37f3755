"""What `fidelity` measured last of the checkpoints that are compared. Measures nothing."""

from __future__ import annotations

import logging
from pathlib import Path

from qwen_webui.errors import InvalidRequest
from qwen_webui.measure.fidelity import FidelityRow, load_report

log = logging.getLogger(__name__)

MOST_FILES = 50  # the newest; a report is some kilobytes


def fidelity_of(data_dir: Path, checkpoints: tuple[str, ...]) -> tuple[FidelityRow, ...]:
    """Of each checkpoint that a report names, the row of the newest one, in the given order.
    Rows that failed do not count, and files that are no reports are passed over. Blocking."""
    files = (data_dir / "measurements").glob("fidelity-*.json")
    newest = sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    found: dict[str, FidelityRow] = {}
    for path in newest[:MOST_FILES]:
        try:
            report = load_report(path)
        except InvalidRequest as error:
            log.info("%s", error.message)
            continue
        for row in report.rows:
            if row.error is None:
                found.setdefault(row.checkpoint, row)
    return tuple(found[name] for name in checkpoints if name in found)
