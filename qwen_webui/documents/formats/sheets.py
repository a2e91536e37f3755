"""XLSX: every sheet as a Markdown table, long ones in parts under the same header.

Values as they were saved; a formula that was never computed is shown as the formula.
"""

from __future__ import annotations

import datetime
import io
import zipfile
from collections.abc import Generator, Iterator
from itertools import repeat
from typing import Any

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from qwen_webui.documents.encodings import clean
from qwen_webui.documents.formats.archive import check
from qwen_webui.documents.tables import markdown
from qwen_webui.documents.values import PART_CHARACTERS, Page, Unit
from qwen_webui.documents.wire import Beat, Ended, Job, Opened, PageRead
from qwen_webui.errors import DocumentError

_BEAT_ROWS = 500


def read(data: bytes, job: Job) -> Generator[Opened | PageRead | Beat, None, Ended]:
    """Reports of every sheet, or of every part of one. Raises DocumentError."""
    check(data)
    try:
        values = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        formulas = None
        if _has_formulas(data):
            formulas = openpyxl.load_workbook(io.BytesIO(data), read_only=True)
    except (
        InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError,
        SyntaxError,
    ) as error:  # fmt: skip
        raise DocumentError(
            "The workbook is damaged: its sheets cannot be found. Save it again as XLSX."
        ) from error
    yield Opened("xlsx", 0)
    number = 0
    for place, sheet in enumerate(values.worksheets):
        second = formulas.worksheets[place] if formulas is not None else None
        for found in _sheet(sheet, second):
            if isinstance(found, Beat):
                yield found
            else:
                number += 1
                yield PageRead(Page(number, found, sheet.title))
    unit: Unit = "sheet" if number == len(values.worksheets) else "part"
    return Ended(unit, clean(values.properties.title or ""))


def _sheet(sheet: Any, formulas: Any) -> Iterator[str | Beat]:
    """Texts of about PART_CHARACTERS, each a table with the sheet's header."""
    header: list[str] | None = None
    held: list[list[str]] = []
    size = 0
    for count, row in enumerate(_rows(sheet, formulas)):
        if count % _BEAT_ROWS == 0:
            yield Beat()
        if not any(row):
            continue
        if header is None:
            header = row
            continue
        held.append(row)
        size += sum(map(len, row)) + 3 * len(row)
        if size > PART_CHARACTERS:
            yield _text(sheet.title, [header, *held])
            held, size = [], 0
    if header is not None and (held or not size):
        yield _text(sheet.title, [header, *held])


def _text(title: str, rows: list[list[str]]) -> str:
    return clean(f"# {title}\n\n{markdown(rows)}")


def _rows(sheet: Any, formulas: Any) -> Iterator[list[str]]:
    # The declared size is often wrong, by accident or on purpose.
    sheet.reset_dimensions()
    rows = sheet.iter_rows(values_only=True)
    if formulas is None:
        pairs: Iterator[tuple[Any, Any]] = zip(rows, repeat(()), strict=False)
    else:
        formulas.reset_dimensions()
        pairs = zip(rows, formulas.iter_rows(values_only=True), strict=False)
    for row, second in pairs:
        cells = [_cell(value) for value in row]
        for place, formula in enumerate(second[: len(cells)]):
            if not cells[place] and formula is not None:
                cells[place] = _cell(formula)
        while cells and not cells[-1]:
            cells.pop()
        yield cells


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat(" ") if isinstance(value, datetime.datetime) else value.isoformat()
    return str(value)


def _has_formulas(data: bytes) -> bool:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        return any(b"<f>" in (xml := archive.read(name)) or b"<f " in xml for name in names)
