"""Reports as files: what is written is read back, and no other file is."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from qwen_webui.errors import InvalidRequest, StoreError
from qwen_webui.measure.speed import SpeedReport, load_report
from qwen_webui.measure.speed.definitions import DEFINITIONS, OTHERS
from qwen_webui.measure.speed.writing import console, csv_text, json_text, markdown, write_report
from tests.measure.speed.reports import answers, report, row, written

ONE = report(
    "a machine",
    row("one", answers(40.0), answers(30.0, 500), answers(20.0, 1, 4)),
    row("two", error="It is torn."),
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    assert load_report(written(tmp_path, "x", ONE)) == ONE
    assert {path.name for path in (tmp_path / "measurements").iterdir()} == {
        "speed-x.json",
        "speed-x.csv",
        "speed-x.md",
    }


def test_every_measured_line_is_in_the_table_of_numbers() -> None:
    lines = list(csv.DictReader(io.StringIO(csv_text(ONE))))
    own = [line for line in lines if line["source"] == "measured"]
    assert [line["checkpoint"] for line in own] == ["one"] * 3 + ["two"]
    assert [line["decode"] for line in own] == ["40.0", "30.0", "20.0", ""]
    assert (own[0]["decode_low"], own[0]["decode_high"], own[0]["decode_n"]) == (
        "20.0",
        "80.0",
        "3",
    )
    assert own[3]["error"] == "It is torn."
    assert len(lines) == 4 + len(OTHERS)
    guide = [line for line in lines if "RTX 4090" in line["source"]]
    assert next((line["whole"], line["first_token"]) for line in guide) == ("48", "0.12")


def test_people_see_figures_conditions_and_whose_they_are() -> None:
    page, screen = markdown(ONE), console(ONE)
    for text in (page, screen):
        assert "40.0 [20.0, 80.0]" in text and "It is torn." in text and "Shorter." in text
        assert "A100 80 GB, transformers 4.46.0" in text and "vLLM 0.6.3" in text
        assert "38.27 (6.52)" in text and "108.30" in text and "RTX 4090" in text
        assert "a machine" in text
        # Their figures stand below ours, in tables of their own.
        assert text.index("40.0 [20.0") < text.index("38.27")
    assert all(text in page for text in DEFINITIONS.values())
    assert "python app.py bench" in page and "A note." in page
    stopped = SpeedReport(ONE.model, ONE.conditions, None, (), ONE.rows, False)
    assert "was stopped" in console(stopped) and "was stopped" not in screen


def changed(**fields: Any) -> str:
    return json.dumps({**json.loads(json_text(ONE)), **fields})


def with_answer(**fields: Any) -> str:
    value = json.loads(json_text(ONE))
    value["rows"][0]["answers"][0] |= fields
    return json.dumps(value)


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "[]",
        "{}",
        '"text"',
        "[" * 100_000,
        changed(format="qwen-webui speed 9"),
        changed(format="qwen-webui fidelity 1"),
        changed(rows=None),
        changed(rows=[{"precision": "fp16"}]),
        changed(rows=[[]]),
        changed(copy_rate=float("nan")),
        changed(copy_rate="1e400"),
        changed(copy_rate=10**400),
        changed(complete="yes"),
        changed(clipped="yes"),
        changed(conditions={"hardware": 1}),
        with_answer(decode={"median": "40", "low": 1, "high": 1, "n": 1}),
        with_answer(decode={"median": float("inf"), "low": 1, "high": 1, "n": 1}),
        with_answer(decode={"median": True, "low": 1, "high": 1, "n": 1}),
        with_answer(input_tokens=1.5),
        with_answer(more="x" * 100_000),
    ],
)
def test_another_file_is_no_report(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"report\.json is no speed report") as refused:
        load_report(path)
    assert len(refused.value.message) < 400


def test_a_file_that_is_too_large_or_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with pytest.raises(InvalidRequest, match="no speed report"):
        load_report(path)
    path.write_text(changed(more="x" * (4 << 20)), encoding="utf-8")
    with pytest.raises(InvalidRequest, match="bytes"):
        load_report(path)


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--out"):
        write_report(ONE, tmp_path / "file", "x")
