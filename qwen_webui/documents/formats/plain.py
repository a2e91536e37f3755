"""Text, Markdown, source code, CSV and JSON. Form feeds in a text are page breaks."""

from __future__ import annotations

import csv
import json
from collections.abc import Generator, Iterable
from typing import Any

from qwen_webui.documents.encodings import clean, decode
from qwen_webui.documents.kinds import kind_of
from qwen_webui.documents.parts import blocks_of, parts_of
from qwen_webui.documents.tables import markdown
from qwen_webui.documents.values import Page, Unit
from qwen_webui.documents.wire import Ended, Job, Opened, PageRead
from qwen_webui.errors import DocumentError

_DELIMITERS = ",;\t|"
_SNIFFED = 50
_LONG_LINE = 2_000


def read(data: bytes, job: Job) -> Generator[Opened | PageRead, None, Ended]:
    """Reports of every page or part. Raises DocumentError and UnsupportedDocument."""
    kind = kind_of(data, job.name)
    text = decode(data)
    unit: Unit = "part"
    if kind == "csv":
        texts = parts_of([markdown(_rows(clean(text), job))])
    elif kind == "json":
        texts = parts_of(_json(clean(text), job.name))
    elif kind == "text" and "\f" in text.rstrip("\f\n"):
        texts, unit = (clean(page).strip("\n") for page in text.split("\f")), "page"
    else:
        texts = parts_of(blocks_of(clean(text)))
    yield Opened(kind, 0)
    for number, part in enumerate(texts, 1):
        yield PageRead(Page(number, part, state="ok" if part.strip() else "empty"))
    return Ended(unit, "")


def _rows(text: str, job: Job) -> list[list[str]]:
    csv.field_size_limit(job.limits.page_characters)
    try:
        return list(csv.reader(text.split("\n"), delimiter=_delimiter(text)))
    except csv.Error as error:
        raise DocumentError(
            "The CSV file cannot be read as a table: a quotation mark is never closed, or a field "
            "is too long. Correct it, or give it the extension .txt to read it as text."
        ) from error


def _delimiter(text: str) -> str:
    """The mark that stands equally often in most of the first lines."""
    lines = [line for line in text.split("\n", _SNIFFED)[:_SNIFFED] if line.strip()]

    def rank(mark: str) -> tuple[int, int]:
        counts = [len(row) for row in csv.reader(lines, delimiter=mark)]
        usual = max(set(counts), key=counts.count, default=1)
        return (counts.count(usual) if usual > 1 else 0, usual)

    return max(_DELIMITERS, key=rank)


def _json(text: str, name: str) -> Iterable[str]:
    if name.lower().endswith((".jsonl", ".ndjson")):
        lines = [line for line in text.split("\n") if line.strip()]
        for number, line in enumerate(lines, 1):
            _parsed(line, f"line {number} ")
        return ["\n".join(lines)]
    value = _parsed(text, "it ")
    if max(map(len, text.split("\n"))) <= _LONG_LINE:
        return [text.strip("\n")]
    return [json.dumps(value, ensure_ascii=False, indent=1)]


def _parsed(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DocumentError(
            f"The JSON file is not valid: {what}has a mistake at line {error.lineno}, column "
            f"{error.colno}. Correct it, or give it the extension .txt to read it as text."
        ) from error
    except (RecursionError, ValueError) as error:
        raise DocumentError(
            "The JSON file cannot be read: it is nested too deeply or holds a number of too many "
            "digits. Give it the extension .txt to read it as text."
        ) from error
