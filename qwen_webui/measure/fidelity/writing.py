"""A report as JSON, CSV, Markdown, and as a table for the console.

Every file is written whole or not at all. Computes nothing.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from qwen_webui.errors import StoreError
from qwen_webui.measure.fidelity.definitions import DEFINITIONS, OTHERS, OTHERS_LABEL
from qwen_webui.measure.fidelity.report import FORMAT, FidelityReport, FidelityRow, Figure

_HEAD = ("precision", "KL, nats/token", "flips, %", "perplexity", "ratio to 16 bit", "tasks, %",
         "JSON valid, %", "quotes true, %")  # fmt: skip
_FIGURES = ("kl", "flips", "perplexity", "perplexity_ratio", "tasks", "json_valid", "quotations")
_SHARES = ("flips", "tasks", "json_valid", "quotations")
_NOTE = (
    "Values with 95 % intervals in brackets. The rows of others are for orientation: another "
    "model, text and program."
)


def write_report(report: FidelityReport, folder: Path, name: str) -> tuple[Path, ...]:
    """`name`.json, .csv and .md in `folder`, which is made if need be. Raises StoreError."""
    made = {".json": json_text(report), ".csv": csv_text(report), ".md": markdown(report)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tuple(_write(folder / f"{name}{suffix}", text) for suffix, text in made.items())
    except OSError as error:
        raise StoreError(
            f"The report cannot be written to {folder} ({error.strerror}). Choose another folder "
            "with --out."
        ) from error


def json_text(report: FidelityReport) -> str:
    """What report.load_report reads, with definitions and the figures of others for people."""
    own = asdict(report)
    others = {"label": OTHERS_LABEL, "rows": [asdict(one) for one in OTHERS]}
    value = {"format": FORMAT, **own, "definitions": dict(DEFINITIONS), "others": others}
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def csv_text(report: FidelityReport) -> str:
    """A line a precision, then a line each of others; shares from 0 to 1."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    parts = [f"{name}{part}" for name in _FIGURES for part in ("", "_low", "_high", "_n")]
    plain = [f.name for f in fields(FidelityRow) if f.name not in (*_FIGURES, "skills")]
    writer.writerow(["source", *plain, *parts])
    for row in report.rows:
        figures: list[float | None] = []
        for name in _FIGURES:
            found: Figure | None = getattr(row, name)
            values = (found.value, found.low, found.high, found.n) if found else (None,) * 4
            figures += values
        writer.writerow(["measured", *(getattr(row, name) for name in plain), *figures])
    for other in OTHERS:
        blank = [""] * (len(plain) - 1)
        numbers = [other.kl, "", "", "", other.flips] + [""] * (len(parts) - 5)
        writer.writerow([OTHERS_LABEL, other.precision, *blank, *numbers])
    return out.getvalue()


def markdown(report: FidelityReport) -> str:
    """For documents: table, tasks by skill, surroundings and definitions."""
    where = report.surroundings
    lines = [f"# Fidelity of {report.model}", "", *_rows(_HEAD, _cells(report)), "", _NOTE]
    if not report.complete:
        lines += ["", "**The measurement was stopped; what was not reached is missing.**"]
    lines += [f"\n{row.checkpoint}: {row.error}" for row in report.rows if row.error]
    if any(row.skills for row in report.rows):
        lines += ["", "## Tasks by skill", "", *_skills(report.rows)]
    lines += ["", "## Measured with", ""]
    lines += [f"* {where.created}, {where.hardware}", f"* `{where.command}`"]
    lines += [f"* {row.checkpoint}: {_computed(row)}" for row in report.rows if row.kernel]
    lines += [f"* {name} {version}" for name, version in where.versions.items()]
    lines += [f"* {name}: {value}" for name, value in where.settings.items()]
    lines += [f"* text: {text}" for text in where.texts] + [f"* tasks: {where.tasks}"]
    lines += ["", "## Definitions", ""]
    lines += [f"* **{name}**: {text}" for name, text in DEFINITIONS.items()]
    return "\n".join(lines) + "\n"


def table(report: FidelityReport) -> str:
    """For the console."""
    rows = [_HEAD, *_cells(report)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    lines += [f"{row.checkpoint}: {row.error}" for row in report.rows if row.error]
    return "\n".join([*(line.rstrip() for line in lines), _NOTE])


def _cells(report: FidelityReport) -> Iterator[tuple[str, ...]]:
    for row in report.rows:
        figures = (_shown(name, getattr(row, name)) for name in _FIGURES)
        yield (row.precision, *figures)
    for other in OTHERS:
        blank = [""] * (len(_HEAD) - 3)
        yield (
            f"{other.precision} ({OTHERS_LABEL})",
            _number("kl", other.kl),
            _number("flips", other.flips),
            *blank,
        )


def _shown(name: str, figure: Figure | None) -> str:
    if figure is None:
        return "-"
    value = _number(name, figure.value)
    if figure.low is None or figure.high is None:
        return value
    return f"{value} [{_number(name, figure.low)}, {_number(name, figure.high)}]"


def _number(name: str, value: float) -> str:
    if name in _SHARES:
        return f"{100 * value:.2f}" if name == "flips" else f"{100 * value:.1f}"
    return f"{value:.5f}" if name == "kl" else f"{value:.4f}"


def _computed(row: FidelityRow) -> str:
    return f"{row.device}, {row.dtype}, {row.kernel}, {row.seconds:.0f} s"


def _rows(head: Sequence[str], cells: Iterator[tuple[str, ...]]) -> Iterator[str]:
    def line(parts: Sequence[str]) -> str:
        return f"| {' | '.join(parts)} |"

    yield line(head)
    yield line(["---"] * len(head))
    yield from map(line, cells)


def _skills(rows: Sequence[FidelityRow]) -> Iterator[str]:
    measured = [row for row in rows if row.skills]
    kinds = dict.fromkeys((one.skill, one.language) for row in measured for one in row.skills)

    def cells() -> Iterator[tuple[str, ...]]:
        for kind in kinds:
            found = [
                next((o for o in row.skills if (o.skill, o.language) == kind), None)
                for row in measured
            ]
            yield (" ".join(kind), *(f"{o.passed} of {o.total}" if o else "-" for o in found))

    return _rows(("skill", *(row.precision for row in measured)), cells())


def _write(path: Path, text: str) -> Path:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    return path
