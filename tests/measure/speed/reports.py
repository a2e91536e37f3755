"""Reports made by hand for the tests beside this file and those of the advisor."""

from __future__ import annotations

from pathlib import Path

from qwen_webui.measure.speed import Answers, SpeedReport, SpeedRow, Spread
from qwen_webui.measure.speed.writing import write_report
from qwen_webui.measure.surroundings import Conditions


def spread(value: float) -> Spread:
    return Spread(value, value / 2, value * 2, 3)


def answers(decode: float, input_tokens: int = 1, at_once: int = 1) -> Answers:
    return Answers(
        input_tokens,
        16,
        at_once,
        *(spread(0.1), spread(decode / 2), spread(decode), spread(decode * 3)),
        *(1_000, 100.0, 0.5),
    )


def row(checkpoint: str, *given: Answers, error: str | None = None) -> SpeedRow:
    return SpeedRow(
        "fp16", checkpoint, "CPU", "float32", "by hand", 256, 10, 20, 30, 40,
        1.0, None, 2.0, True, ("A note.",), given, error,
    )  # fmt: skip


def report(
    hardware: str, *rows: SpeedRow, created: str = "2026-01-01T00:00:00+00:00", path: str = "auto"
) -> SpeedReport:
    conditions = Conditions(
        created, "python app.py bench", hardware, {"Python": "3"}, {"engine path": path}
    )
    return SpeedReport("made", conditions, 1e9, ("Shorter.",), rows, True)


def written(data_dir: Path, name: str, one: SpeedReport) -> Path:
    folder = data_dir / "measurements"
    write_report(one, folder, f"speed-{name}")
    return folder / f"speed-{name}.json"
