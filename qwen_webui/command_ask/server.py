"""The question asked of a running server: files are uploaded, asked, and deleted again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import httpx

from qwen_webui.command_ask.question import FileQuestion
from qwen_webui.command_ask.report import Report
from qwen_webui.command_chat import check_status, error_of, reaching
from qwen_webui.errors import WebUIError


def ask_server(
    url: str, question: FileQuestion, out: TextIO, err: TextIO, *, key: str | None = None
) -> int:
    """Ask the server at `url`. Returns the exit code."""
    question.check_files()
    report = Report(question.files, out, err, as_json=question.as_json)
    with reaching(url, key) as client, ExitStack() as uploaded:
        ids: list[str] = []
        for file in question.files:
            document = _uploaded(client, file)
            ids.append(document["id"])
            uploaded.callback(_delete, client, document["id"], file, err)
            if question.ocr and document["diagnosis"]["to_recognise"]:
                document = _recognised(client, document["id"], file, report)
            diagnosis = document["diagnosis"]
            report.unread(
                file,
                diagnosis["unread"],
                document["pages"],
                document["unit"],
                diagnosis["to_recognise"],
            )
        body = {
            "question": question.text,
            "documents": ids[1:],
            "everything": question.everything,
            "max_new_tokens": question.max_new_tokens,
            "temperature": question.temperature,
            "seed": question.seed,
            "stream": True,
        }
        for name, data in _events(client, f"/api/documents/{ids[0]}/ask", body):
            report.event(name, data)
    report.end()
    return 0


def _uploaded(client: httpx.Client, file: Path) -> dict[str, Any]:
    with file.open("rb") as content:
        response = client.post("/api/documents", files={"file": (file.name, content)})
    check_status(response)
    found: dict[str, Any] = response.json()
    return found


def _recognised(client: httpx.Client, id: str, file: Path, report: Report) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name, data in _events(client, f"/api/documents/{id}/recognise", {}):
        if name == "progress":
            report.reading(file, data)
        elif name == "document":
            document = data
    return document


def _delete(client: httpx.Client, id: str, file: Path, err: TextIO) -> None:
    """Says so when it fails: the answer is there all the same."""
    try:
        check_status(client.delete(f"/api/documents/{id}"))
    except (httpx.HTTPError, WebUIError) as error:
        print(
            f"{file.name} could not be deleted on the server ({type(error).__name__}); it is "
            "deleted there after seven days.",
            file=err,
        )


def _events(
    client: httpx.Client, path: str, body: dict[str, Any]
) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """The server-sent events of one answer. Raises the error that one of them is."""
    with client.stream("POST", path, json=body) as response:
        check_status(response)
        name: str | None = None
        for line in response.iter_lines():
            if line.startswith("event: "):
                name = line[len("event: ") :]
            elif line.startswith("data: "):
                data = json.loads(line[len("data: ") :])
                if "error" in data:
                    raise error_of(data, 500)
                yield name, data
            elif not line:
                name = None
