"""What a person at the console is told: the answer and its citations, and on `err` all the rest.

Reads the events of POST /api/documents/{id}/ask as they go over the wire, whoever made them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

_RANGES = 12
# Seconds between two lines about one thing.
_PAUSE = 1.0
_HOW = {
    "whole": "all of the text, in one call",
    "passages": "what was found for the question, in one call",
    "map_reduce": "part after part, in {calls} calls",
}


class Report:
    """Of one question about `files`."""

    def __init__(
        self, files: Sequence[Path], out: TextIO, err: TextIO, *, as_json: bool = False
    ) -> None:
        self._files = files
        self._out = out
        self._err = err
        self._as_json = as_json
        self._answer: list[str] = []
        self._sources: Mapping[str, Any] = {}
        self._citations: Sequence[Mapping[str, Any]] = ()
        self._told = time.monotonic()

    def reading(self, file: Path, step: Mapping[str, Any]) -> None:
        """How far the reading of a file is, where it takes a while."""
        if time.monotonic() - self._told > _PAUSE:
            of = f" of {step['total']}" if step["total"] else ""
            self._note(f"{step['stage']} {file.name}: {step['done']}{of} pages")

    def unread(
        self, file: Path, pages: Sequence[int], total: int, unit: str, to_recognise: Sequence[int]
    ) -> None:
        """The warning before the answer: of these pages it can know nothing."""
        if not pages:
            return
        way = "; with --ocr those that are scanned are read first" if to_recognise else ""
        where = _ranges(unit, [(page, page) for page in pages])
        self._note(
            f"Warning: {len(pages)} of the {total} {unit}s of {file.name} could not be read "
            f"({where}). The answer knows nothing of them{way}."
        )

    def event(self, name: str | None, data: Mapping[str, Any]) -> None:
        """One event of the answer."""
        if name == "sources":
            self._sources = data
            self._tell_sources()
        elif name == "queued":
            self._note(f"waiting in line, place {data['place']}")
        elif name == "progress":
            if data["stage"] == "reading_documents":
                self._note(f"reading: {data['done']} of {data['total']} calls are done")
            elif data["stage"] == "indexing_documents":
                self._note("making the documents ready to be searched")
        elif name == "citations":
            self._citations = data["citations"]
        elif "text" in data:
            self._answer.append(data["text"])
            if not self._as_json:
                print(data["text"], end="", file=self._out, flush=True)

    def end(self) -> None:
        """What comes after the answer."""
        if self._as_json:
            whole = {"answer": "".join(self._answer), "citations": self._citations}
            ids = {one["id"]: str(file) for one, file in zip(*self._documents, strict=True)}
            value = _named({**whole, **self._sources}, ids)
            print(json.dumps(value, ensure_ascii=False, indent=2), file=self._out)
            return
        print(file=self._out)
        if self._citations:
            print("\nCitations:", file=self._out)
        for citation in self._citations:
            print(f"  {self._line(citation)}", file=self._out)

    @property
    def _documents(self) -> tuple[Sequence[Mapping[str, Any]], Sequence[Path]]:
        return self._sources["documents"], self._files

    def _note(self, line: str) -> None:
        self._told = time.monotonic()
        print(line, file=self._err, flush=True)

    def _tell_sources(self) -> None:
        how = _HOW[self._sources["mode"]].format(calls=len(self._sources["calls"]))
        self._note(f"Read: {how}: {self._places('pages_read')}.")
        if self._sources["pages_left_out"]:
            self._note(f"Left out, at least in part: {self._places('pages_left_out')}.")

    def _places(self, field: str) -> str:
        """Its pages, by document where there are several."""
        several = len(self._sources["documents"]) > 1
        found = []
        for document in self._sources["documents"]:
            rows = [
                (row["first"], row["last"])
                for row in self._sources[field]
                if row["document"] == document["id"]
            ]
            if rows:
                name = f"{document['name']} " if several else ""
                found.append(f"{name}{_ranges(document['unit'], rows)}")
        return "; ".join(found)

    def _line(self, citation: Mapping[str, Any]) -> str:
        documents = {one["id"]: one for one in self._sources["documents"]}
        document = documents.get(citation["document"])
        unit = document["unit"] if document is not None else "page"
        quote = f'"{citation["quote"]}": ' if citation["quote"] else ""
        where = f"{unit} {citation['page']}" if citation["page"] is not None else ""
        if len(documents) > 1 and document is not None:
            where = f"{document['name']}, {where}" if where else document["name"]
        return f"{f'[{where}] ' if where else ''}{quote}{_verdict(citation, unit)}"


def _verdict(citation: Mapping[str, Any], unit: str) -> str:
    page, on = citation["page"], citation["found_on"]
    if citation["verdict"] == "verified":
        return f"verified, it stands on {unit} {on}"
    if citation["verdict"] == "other_page":
        return f"NOT on {unit} {page}, it stands on {unit} {on}"
    if citation["verdict"] == "no_page":
        return f"there is NO {unit} {page}" + (f", it stands on {unit} {on}" if on else "")
    if citation["verdict"] == "too_short":
        return "too short to be checked"
    return "NOT FOUND in the document"


def _ranges(unit: str, rows: Sequence[tuple[int, int]]) -> str:
    """`pages 1-3, 5`; neighbours joined, and of very many only the first."""
    joined: list[list[int]] = []
    for first, last in sorted(rows):
        if joined and first <= joined[-1][1] + 1:
            joined[-1][1] = max(last, joined[-1][1])
        else:
            joined.append([first, last])
    shown = [f"{a}" if a == b else f"{a}-{b}" for a, b in joined[:_RANGES]]
    more = len(joined) - _RANGES
    tail = f" and {more} more stretches" if more > 0 else ""
    return f"{unit if shown == [str(rows[0][0])] else f'{unit}s'} {', '.join(shown)}{tail}"


def _named(value: Any, ids: Mapping[str, str]) -> Any:
    """`value` with the files' names in the place of ids that mean nothing to anybody."""
    if isinstance(value, Mapping):
        return {
            key: ids.get(item, item) if key in ("id", "document") else _named(item, ids)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_named(item, ids) for item in value]
    return value
