"""The process that reads: `python -m qwen_webui.documents.reading`, a Job on standard input.

A process of its own because a file can be made to make any parser run for ever or eat all memory;
this one has limits and is killed. Reports go out as lines; the parent judges time and amounts.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

from qwen_webui.documents import kinds, sandbox
from qwen_webui.documents.values import Kind
from qwen_webui.documents.wire import Job, Refused, Report, line_of
from qwen_webui.errors import DocumentError, InvalidRequest, UnsupportedDocument

_MODULES: dict[Kind, str] = {
    "pdf": "pdf", "docx": "word", "pptx": "slides", "xlsx": "sheets", "html": "markup",
    "text": "plain", "markdown": "plain", "csv": "plain", "json": "plain", "code": "plain",
}  # fmt: skip
# Python counts a frame as a few hundred bytes of stack here; the stack has 8 MiB.
_RECURSION = 1_500


def reports(job: Job) -> Iterator[Report]:
    """Everything that comes of the job. Raises DocumentError and UnsupportedDocument."""
    if job.numbers:
        yield from importlib.import_module("qwen_webui.documents.recognise").read(job)
        return
    data = Path(job.path).read_bytes()
    kind = kinds.kind_of(data, job.name)
    # A format's library is imported when a file of it comes: some take a quarter of a second.
    module = importlib.import_module(f"qwen_webui.documents.formats.{_MODULES[kind]}")
    ended: Report = yield from module.read(data, job)
    yield ended


def _refused(error: BaseException, name: str) -> Refused:
    if isinstance(error, DocumentError | UnsupportedDocument):
        return Refused(error.message, error.code)
    detail = type(error).__name__
    if isinstance(error, MemoryError):
        return Refused(
            "To read the file takes more memory than is allowed for one file. Split it into "
            "smaller files, or save it again without large pictures.",
            "document_too_large",
            detail,
        )
    what = kinds.NAMES[kinds.TEXT.get(kinds.extension(name)) or kinds.BINARY.get(
        kinds.extension(name), "text"
    )]  # fmt: skip
    return Refused(
        f"The file is damaged, or not really {what}. Save it again with the program that made it.",
        "document_unreadable",
        detail,
    )


def main() -> int:
    """Do the job on the first line of standard input. The parent's id is the argument."""
    sandbox.end_with_parent(int(sys.argv[1]))
    job = Job.of_line(sys.stdin.readline())
    sandbox.wall_in(job.limits)
    sys.setrecursionlimit(_RECURSION)
    out = sys.stdout.buffer
    try:
        for report in reports(job):
            out.write(line_of(report))
            out.flush()
    except InvalidRequest as error:
        out.write(line_of(_refused(error, job.name)))
    # A hostile file can make a parser raise anything, and all of it means the same to people.
    except Exception as error:
        out.write(line_of(_refused(error, job.name)))
    out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
