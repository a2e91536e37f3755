"""What crosses between the web process and the process that reads: a job in, reports out.

One JSON object a line, so that a hostile file that takes the reading process over can send nothing
that runs. Building documents from the reports is the reader's business.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from qwen_webui.documents.values import Kind, Limits, Page, Unit


@dataclass(frozen=True)
class Job:
    """Read the file at `path`, which people call `name`; or recognise (OCR) the pages `numbers`."""

    path: str
    name: str
    limits: Limits
    numbers: tuple[int, ...] = ()
    languages: str = ""

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def of_line(cls, line: str) -> Job:
        """The job that `line` made."""
        plain = json.loads(line)
        limits = Limits(**plain.pop("limits"))
        return cls(**{**plain, "limits": limits, "numbers": tuple(plain["numbers"])})


@dataclass(frozen=True)
class Opened:
    """The file is what it says; `total` pages, 0 when nobody knows before the end."""

    kind: Kind
    total: int
    locked: bool = False


@dataclass(frozen=True)
class PageRead:
    """One page."""

    page: Page


@dataclass(frozen=True)
class Beat:
    """Work goes on within a page."""


@dataclass(frozen=True)
class Ended:
    """All pages were sent."""

    unit: Unit
    title: str


@dataclass(frozen=True)
class Refused:
    """Why nothing comes. `detail` is for the log: never words of the file."""

    message: str
    code: str
    detail: str = ""


Report = Opened | PageRead | Beat | Ended | Refused
_KINDS = {kind.__name__: kind for kind in (Opened, PageRead, Beat, Ended, Refused)}


def line_of(report: Report) -> bytes:
    """A report as one line of UTF-8 JSON."""
    plain = {"is": type(report).__name__, **dataclasses.asdict(report)}
    return json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def report_of(line: bytes) -> Report:
    """The report that `line` made. Raises ValueError, KeyError or TypeError for anything else."""
    plain = json.loads(line)
    kind = _KINDS[plain.pop("is")]
    if kind is PageRead:
        return PageRead(Page.of(plain["page"]))
    report: Report = kind(**plain)
    return report
