"""The runs of the JSON tab, of every owner: a prompt, a schema and what came of them.

Another owner's run is missing exactly as one that never was. A run never changes: it is added,
read, listed and deleted.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
import sqlite3
from collections.abc import Callable, Sequence

from qwen_webui.errors import NotFound
from qwen_webui.store import export
from qwen_webui.store.file import Deletion, File, run_all
from qwen_webui.store.reading import sources_of, sources_text
from qwen_webui.store.text import storable, title_from
from qwen_webui.store.values import JsonRun, JsonRunEntry
from qwen_webui.types import Usage

# Entries of a list; older runs stay in the file and go with delete_all.
MOST_LISTED = 500

_COLUMNS = (
    *("id", "title", "prompt", "schema", "max_new_tokens", "answer", "outcome", "closed"),
    *("error", "model", "precision", "usage", "created", "sources"),
)


class Runs:
    """Runs by owner and id; ids are 128 random bits. Raises as Store does."""

    def __init__(self, file: File, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock

    async def add(self, owner: str, run: JsonRun) -> JsonRun:
        """Keep `run`; given back with its id, its title (the prompt's beginning) and its time."""
        kept = dataclasses.replace(
            run,
            id=secrets.token_hex(16),
            title=title_from(storable(run.prompt)),
            prompt=storable(run.prompt),
            schema=storable(run.schema),
            answer=storable(run.answer),
            created=run.created or self._clock(),
        )
        await self._file.write(lambda db: _insert(db, owner, kept))
        return kept

    async def list(self, owner: str) -> tuple[JsonRunEntry, ...]:
        """The owner's runs, newest first."""

        def work(db: sqlite3.Connection) -> tuple[JsonRunEntry, ...]:
            rows = db.execute(
                "SELECT id, title, outcome, model, created FROM runs WHERE owner = ?"
                " ORDER BY created DESC, rowid DESC LIMIT ?",
                (owner, MOST_LISTED),
            )
            return tuple(JsonRunEntry(*row) for row in rows)

        return await self._file.read(work)

    async def get(self, owner: str, id: str) -> JsonRun:
        """One run with everything that is kept of it. Raises NotFound."""
        return await self._file.read(lambda db: _get(db, owner, id))

    async def delete(self, owner: str, id: str) -> None:
        """Delete one run for good. Raises NotFound."""
        deletions = (Deletion("runs", "id = ?", (storable(id),)),)

        def work(db: sqlite3.Connection) -> None:
            _get(db, owner, id)
            run_all(db, deletions)

        await self._file.delete(work, deletions)

    async def export_json(self, owner: str, id: str) -> str:
        """One run as JSON with everything that is kept of it, but not its owner."""
        return export.run_as_json(await self.get(owner, id))


def deletions_of(owner: str) -> tuple[Deletion, ...]:
    """What deletes all runs of `owner`."""
    return (Deletion("runs", "owner = ?", (owner,)),)


def count(db: sqlite3.Connection, owner: str) -> int:
    """How many runs `owner` has."""
    row = db.execute("SELECT count(*) FROM runs WHERE owner = ?", (owner,)).fetchone()
    return int(row[0])


def _insert(db: sqlite3.Connection, owner: str, run: JsonRun) -> None:
    values = {name: getattr(run, name) for name in _COLUMNS}
    values["usage"] = json.dumps(dataclasses.asdict(run.usage)) if run.usage else None
    values["sources"] = sources_text(run.sources)
    places = ", ".join("?" * (len(_COLUMNS) + 1))
    db.execute(
        f"INSERT INTO runs (owner, {', '.join(_COLUMNS)}) VALUES ({places})",
        (owner, *(values[name] for name in _COLUMNS)),
    )


def _get(db: sqlite3.Connection, owner: str, id: str) -> JsonRun:
    row: Sequence[object] | None = db.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM runs WHERE id = ? AND owner = ?",
        (storable(id), owner),
    ).fetchone()
    if row is None:
        raise NotFound("There is no such run; it may have been deleted.", param="id")
    values = dict(zip(_COLUMNS, row, strict=True))
    usage = Usage(**json.loads(str(values["usage"]))) if values["usage"] else None
    values |= {"usage": usage, "closed": bool(values["closed"])}
    values["sources"] = sources_of(values["sources"])
    return JsonRun(**values)  # type: ignore[arg-type]  # SQLite's values have no static type
