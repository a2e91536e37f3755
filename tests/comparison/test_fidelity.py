"""Which rows of which report stand beside a comparison."""

from __future__ import annotations

import os
from pathlib import Path

from qwen_webui.comparison import fidelity_of
from qwen_webui.measure.fidelity import FidelityReport, FidelityRow, Figure, Surroundings
from qwen_webui.measure.fidelity.writing import write_report

WHERE = Surroundings("2026-01-01", "fidelity", "none", {}, {}, ("text",), "tasks")


def write(data: Path, name: str, age: int, *rows: FidelityRow) -> None:
    folder = data / "measurements"
    write_report(FidelityReport("model", WHERE, rows, True), folder, f"fidelity-{name}")
    os.utime(folder / f"fidelity-{name}.json", (1000 - age, 1000 - age))


def row(checkpoint: str, kl: float, error: str | None = None) -> FidelityRow:
    figure = Figure(kl, None, None, 10)
    return FidelityRow("awq-int4", checkpoint, False, kl=figure, error=error)


def test_the_newest_row_of_each_checkpoint_in_the_order_asked(tmp_path: Path) -> None:
    assert fidelity_of(tmp_path, ("one",)) == ()
    write(tmp_path, "new", 1, row("one", 0.2), row("two", 0.9, "It failed."))
    write(tmp_path, "old", 9, row("one", 0.1), row("two", 0.3), row("three", 0.4))
    (tmp_path / "measurements" / "fidelity-torn.json").write_text("{")
    found = fidelity_of(tmp_path, ("two", "none", "one"))
    assert found == (row("two", 0.3), row("one", 0.2))
