"""An answer as a table for a spreadsheet, where it is one: CSV that no program runs.

Only looks at values; what an answer must look like is its schema's business.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

Cell = str | int | float | bool | None
Rows = Sequence[dict[str, Cell]]

# What a spreadsheet takes for the beginning of a formula, or skips before one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
# Tells Excel that the file is UTF-8.
_MARK = "\ufeff"


def rows_of(answer: str) -> Rows | None:
    """The rows of an answer that is a list of flat objects, or an object with one such list."""
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list):
        return value if _is_table(value) else None
    if isinstance(value, dict):
        tables = [part for part in value.values() if isinstance(part, list) and _is_table(part)]
        return tables[0] if len(tables) == 1 else None
    return None


def as_csv(rows: Rows) -> str:
    """The rows under the names of all their fields, as RFC 4180 has it. Texts that a spreadsheet
    would run get an apostrophe before them; numbers stay numbers."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([_harmless(name) for name in names])
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in names])
    return _MARK + out.getvalue()


def _is_table(value: list[object]) -> bool:
    return bool(value) and all(
        isinstance(row, dict) and row and not any(isinstance(v, dict | list) for v in row.values())
        for row in value
    )


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _harmless(value)
    return json.dumps(value)


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
