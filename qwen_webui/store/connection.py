"""A SQLite connection with a thread of its own, and SQLite's errors in the program's words.

Knows nothing of tables.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from qwen_webui.errors import StoreError
from qwen_webui.store.text import fold

T = TypeVar("T")

# How long a statement waits for another process that holds the file, in seconds.
BUSY_SECONDS = 5.0

_SENTENCES = {
    sqlite3.SQLITE_FULL: "The disk with the data folder is full, so nothing was saved."
    " Free some space or choose another folder with --data-dir.",
    sqlite3.SQLITE_IOERR: "The disk with the data folder failed to read or write the conversations."
    " Check the disk and its free space, or choose another folder with --data-dir.",
    sqlite3.SQLITE_READONLY: "The file with the conversations cannot be written."
    " Give this user the right to write to the data folder, or choose another with --data-dir.",
    sqlite3.SQLITE_CANTOPEN: "The file with the conversations cannot be opened."
    " Give this user the right to write to the data folder, or choose another with --data-dir.",
    sqlite3.SQLITE_PERM: "The file with the conversations cannot be opened."
    " Give this user the right to write to the data folder, or choose another with --data-dir.",
    sqlite3.SQLITE_BUSY: "Another program holds the file with the conversations."
    " Close it and try again.",
    sqlite3.SQLITE_LOCKED: "Another program holds the file with the conversations."
    " Close it and try again.",
    sqlite3.SQLITE_CORRUPT: "The file with the conversations is damaged and was left as it is."
    " Move it away to begin anew, or put a good copy in its place.",
    sqlite3.SQLITE_NOTADB: "The file with the conversations is not a SQLite database or is damaged,"
    " and was left as it is. Move it away to begin anew, or put a good copy in its place.",
    sqlite3.SQLITE_TOOBIG: "The message is too long to be saved (SQLite takes 1 GB)."
    " Send a shorter one.",
}


@contextmanager
def translated() -> Iterator[None]:
    """Raise StoreError for what the machine does to us; our own mistakes in SQL stay."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        sentence = _SENTENCES.get(code & 0xFF)  # the low byte is the primary code
        if sentence is None:
            raise
        raise StoreError(sentence) from error


def connect(path: Path, *, mode: str = "rw") -> sqlite3.Connection:
    """Open an existing file; `mode` "ro" never writes to it. Transactions are begun by hand, and
    `fold` is a function in its SQL."""
    db = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
    )
    db.create_function("fold", 1, fold, deterministic=True)
    if mode == "rw":
        db.execute("PRAGMA foreign_keys = ON")
        # What is deleted is overwritten, so that it cannot be read from the file.
        db.execute("PRAGMA secure_delete = ON")
        # A message that was acknowledged is on the disk; the loop does not wait for it.
        db.execute("PRAGMA synchronous = FULL")
    return db


class Lane:
    """One connection, used by one thread, one job after the other."""

    def __init__(self, name: str, path: Path, *, mode: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._path = path
        self._mode = mode
        self._connection: sqlite3.Connection | None = None

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in the thread. Once asked for it is done, even if the caller is cancelled."""
        try:
            job = self._thread.submit(self._perform, work)
        except RuntimeError as error:
            raise StoreError("The conversations are closed: the program is ending.") from error
        return await asyncio.shield(asyncio.wrap_future(job))

    def _perform(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with translated():
            if self._connection is None:
                self._connection = connect(self._path, mode=self._mode)
            return work(self._connection)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def close(self) -> None:
        """Finish what was asked for, then close. Closing twice is harmless."""
        try:
            self._thread.submit(self._disconnect)
        except RuntimeError:
            return  # closed before
        await asyncio.to_thread(self._thread.shutdown)
