"""A report as JSON, CSV and Markdown, and as text for the console.

Every file is written whole or not at all. Computes nothing.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

from qwen_webui.errors import StoreError
from qwen_webui.measure.speed.definitions import DEFINITIONS, OTHERS
from qwen_webui.measure.speed.report import FORMAT, Answers, SpeedReport, SpeedRow
from qwen_webui.measure.speed.tables import errors, lines, measured, others, remarks

_SPREADS = ("first_token", "whole", "decode", "together")
_PARTS = ("", "_low", "_high", "_n")
_OF_ROW = tuple(f.name for f in fields(SpeedRow) if f.name not in ("answers", "notes", "error"))
_OF_ANSWERS = tuple(f.name for f in fields(Answers) if f.name not in (*_SPREADS, "error"))
_NOTE = (
    "Medians, with the least and the most of the repeats in brackets. What others published is of "
    "other hardware, programs and versions, and stands in tables of its own."
)


def write_report(report: SpeedReport, folder: Path, name: str) -> None:
    """`name`.json, .csv and .md in `folder`, which is made if need be. Raises StoreError."""
    made = {".json": json_text(report), ".csv": csv_text(report), ".md": markdown(report)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, text in made.items():
            part = folder / f"{name}{suffix}.part"
            part.write_text(text, encoding="utf-8")
            part.replace(folder / f"{name}{suffix}")
    except OSError as error:
        raise StoreError(
            f"The report cannot be written to {folder} ({error.strerror}). Choose another folder "
            "with --out."
        ) from error


def json_text(report: SpeedReport) -> str:
    """What report.load_report reads, with definitions and the figures of others for people."""
    published = [asdict(one) for one in OTHERS]
    value = {"format": FORMAT, **asdict(report), "definitions": dict(DEFINITIONS)}
    return json.dumps({**value, "others": published}, ensure_ascii=False, indent=2) + "\n"


def csv_text(report: SpeedReport) -> str:
    """A line for each length of each precision, then a line for each figure of others. Bytes,
    seconds, tokens a second, shares from 0 to 1."""
    out = io.StringIO()
    names = [f"{name}{part}" for name in _SPREADS for part in _PARTS]
    head = ["source", *_OF_ROW, *_OF_ANSWERS, *names, "error"]
    writer = csv.DictWriter(out, head, restval="", lineterminator="\n")
    writer.writeheader()
    for row in report.rows:
        own = {name: getattr(row, name) for name in _OF_ROW}
        found = [one for one in row.answers if row.error is None or one.error is None]
        for one in found:
            writer.writerow({"source": "measured", **own, **_figures(one)})
        if row.error is not None:
            writer.writerow({"source": "measured", **own, "error": row.error})
    for other in OTHERS:
        writer.writerow(
            {
                "source": other.source,
                "precision": other.precision,
                "peak_bytes": round(other.memory_gb * 1e9) if other.memory_gb else "",
                "input_tokens": other.input_tokens if other.input_tokens is not None else "",
                "at_once": 1,
                "first_token": other.first_token_ms / 1e3 if other.first_token_ms else "",
                "whole": other.tokens_per_second,
            }
        )
    return out.getvalue()


def _figures(one: Answers) -> dict[str, object]:
    found = {name: getattr(one, name) for name in (*_OF_ANSWERS, "error")}
    for name in _SPREADS:
        if (value := getattr(one, name)) is not None:
            parts = (value.median, value.low, value.high, value.n)
            found |= {f"{name}{part}": v for part, v in zip(_PARTS, parts, strict=True)}
    return found


def markdown(report: SpeedReport) -> str:
    """For documents: tables, what others measured, conditions and definitions."""
    where = report.conditions
    told = [f"# Speed of {report.model}", "", f"{where.hardware}, {where.created}", ""]
    for table in measured(report):
        told += [*table.markdown(), ""]
    told += [_NOTE, *_items(remarks(report)), *_items(errors(report)), ""]
    for table in others():
        told += [*table.markdown(), ""]
    told += ["## Measured with", "", f"* {where.created}, {where.hardware}", f"* `{where.command}`"]
    told += [f"* {name} {version}" for name, version in where.versions.items()]
    told += [f"* {name}: {value}" for name, value in where.settings.items()]
    told += [f"* {row.checkpoint}: {note}" for row in report.rows for note in row.notes]
    told += ["", "## Definitions", ""]
    told += [f"* **{name}**: {text}" for name, text in DEFINITIONS.items()]
    return "\n".join(told) + "\n"


def _items(texts: Iterator[str]) -> Iterator[str]:
    yield from (f"\n{text}" for text in texts)


def console(report: SpeedReport) -> str:
    """The tables, what has to be known of them, and what others measured."""
    where = report.conditions
    told = [f"{report.model} on {where.hardware}", "", *lines(measured(report))]
    told += [_NOTE, *remarks(report), *errors(report), "", *lines(others())]
    return "\n".join(told).rstrip()
