"""What the advisor hears of this machine, and what it does not."""

from __future__ import annotations

from pathlib import Path

from qwen_webui.measure.speed import measured_here
from qwen_webui.measure.surroundings import hardware
from qwen_webui.types import MemoryUse
from tests.measure.speed.reports import answers, report, row, written

CARD = MemoryUse("cuda", "NVIDIA H200", 0, 0, 140 << 30)
HERE = hardware(CARD)


def test_nothing_measured_says_nothing(tmp_path: Path) -> None:
    assert measured_here(tmp_path, CARD, "auto") == {}


def test_one_request_with_the_shortest_input_counts(tmp_path: Path) -> None:
    several = (answers(90.0, 1, 8), answers(30.0, 500), answers(40.0, 30))
    rows = (row("one", *several), row("long", answers(5.0, 6_144)), row("none", error="Torn."))
    written(tmp_path, "a", report(HERE, *rows))
    assert measured_here(tmp_path, CARD, "auto") == {"one": 40.0}


def test_the_newest_report_wins_whatever_it_is_called(tmp_path: Path) -> None:
    old = report(HERE, row("one", answers(1.0)), row("two", answers(2.0)))
    new = report(HERE, row("one", answers(10.0)), created="2026-02-01T00:00:00+00:00")
    written(tmp_path, "z", old)
    written(tmp_path, "a", new)
    assert measured_here(tmp_path, CARD, "auto") == {"one": 10.0, "two": 2.0}


def test_other_hardware_another_path_and_damaged_files_do_not_count(tmp_path: Path) -> None:
    written(tmp_path, "a", report("NVIDIA H100, 80 GiB", row("one", answers(1.0))))
    written(tmp_path, "b", report(HERE, row("one", answers(1.0)), path="reference"))
    written(tmp_path, "c", report(HERE, row("one", answers(1.0)))).write_text("{")
    assert measured_here(tmp_path, CARD, "auto") == {}
    assert measured_here(tmp_path, CARD, "reference") == {"one": 1.0}
