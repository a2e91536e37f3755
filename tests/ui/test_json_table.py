"""Answers as CSV: which are tables, and cells that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from qwen_webui.ui.json_table import as_csv, rows_of

FLAT = [{"a": 1, "b": "x"}, {"b": None, "c": True}]


@pytest.mark.parametrize(
    ("answer", "is_table"),
    [
        (FLAT, True),
        ({"title": "t", "rows": FLAT}, True),
        ({"rows": FLAT, "names": ["a", "b"]}, True),
        ({"rows": FLAT, "more": FLAT}, False),
        ({"rows": []}, False),
        ([], False),
        ([1, 2], False),
        ([{}], False),
        ([{"a": [1]}], False),
        ([{"a": {"b": 1}}, {"a": 1}], False),
        ({"a": 1}, False),
        ("text", False),
    ],
)
def test_what_is_a_table(answer: Any, is_table: bool) -> None:
    assert (rows_of(json.dumps(answer)) is not None) is is_table


def test_what_is_no_json_is_no_table() -> None:
    assert rows_of('[{"a": 1') is None
    assert rows_of("[" * 100_000) is None


def table(answer: Any) -> list[list[str]]:
    rows = rows_of(json.dumps(answer))
    assert rows is not None
    text = as_csv(rows)
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text[1:], newline="")))


def test_every_field_has_a_column_and_every_value_its_place() -> None:
    assert table(FLAT) == [["a", "b", "c"], ["1", "x", ""], ["", "", "true"]]


def test_quotes_commas_and_lines_survive() -> None:
    texts = ['say "hi", twice', "two\nlines", "灯, 1"]
    assert table([{"x": text} for text in texts]) == [["x"], *([text] for text in texts)]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_what_begins_like_a_formula_is_neutralised(start: str) -> None:
    """reliability line 47: in names of columns, too."""
    text = f"{start}cmd|' /C calc'!A0"
    (head, row) = table([{text: text, "fine": f"x{start}"}])
    assert head[0] == row[0] == f"'{text}"
    assert row[1] == f"x{start}"


def test_numbers_stay_numbers() -> None:
    assert table([{"x": -5, "y": -0.25}])[1] == ["-5", "-0.25"]
