"""The one SQLite file: reads in one lane, writes in another, and deletions that leave no trace.

What is deleted is overwritten in the file, taken out of the write-ahead log and out of the copies
that a migration left. Knows no table by name.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from qwen_webui.store import schema
from qwen_webui.store.connection import Lane, connect

T = TypeVar("T")


@dataclass(frozen=True)
class Deletion:
    """The rows of `table` that meet the condition `where` with `values`."""

    table: str
    where: str
    values: tuple[str | float, ...]

    def run(self, db: sqlite3.Connection) -> None:
        """Delete them, in the transaction that is open."""
        db.execute(f"DELETE FROM {self.table} WHERE {self.where}", self.values)


class File:
    """Neither lane ever blocks the event loop; every method raises StoreError for what the machine
    does to the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = Lane("store-writer", path, mode="rw")
        self._reader = Lane("store-reader", path, mode="ro")

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work`, which only reads."""
        return await self._reader.run(work)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in one transaction, all or nothing."""
        return await self._writer.run(lambda db: _transaction(db, work))

    async def delete(
        self,
        work: Callable[[sqlite3.Connection], T],
        deletions: Sequence[Deletion],
        afterwards: Callable[[T], None] = lambda _: None,
    ) -> T:
        """Do `work`, which runs `deletions` and may do more, and leave no trace of those rows.

        `afterwards` is done with the result of `work` when the rows are gone for good.
        """

        def whole(db: sqlite3.Connection) -> T:
            result = _transaction(db, work)
            afterwards(result)
            # The log still holds the old pages; merged and emptied, it does not.
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            for copy in schema.copies(self._path):
                with closing(connect(copy)) as old:
                    _transaction(old, lambda db: _run_where_possible(db, deletions))
            return result

        return await self._writer.run(whole)

    async def close(self) -> None:
        """Finish the writes that were asked for, then close. Closing twice is harmless."""
        await self._reader.close()
        await self._writer.close()


def run_all(db: sqlite3.Connection, deletions: Sequence[Deletion]) -> None:
    """One after the other."""
    for deletion in deletions:
        deletion.run(db)


def _transaction(db: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    with db:
        db.execute("BEGIN IMMEDIATE")
        return work(db)


def _run_where_possible(db: sqlite3.Connection, deletions: Sequence[Deletion]) -> None:
    """In a file of an older version a table of today may be missing, and its rows with it."""
    there = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    run_all(db, [deletion for deletion in deletions if deletion.table in there])
