"""The conversations of every owner, in one SQLite file: the store's front door.

All writes go through one thread with one connection, all reads through another, so neither ever
blocks the event loop. What is deleted is overwritten in the file, taken out of the write-ahead log
and out of the copies that a migration left. Holds no opinion on who may be which owner.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal, TypeVar

from qwen_webui.errors import InvalidRequest
from qwen_webui.store import export, rows, schema
from qwen_webui.store.connection import Lane, connect
from qwen_webui.store.text import TITLE_LENGTH, one_line, storable
from qwen_webui.store.values import Conversation, ConversationEntry, StoredMessage

T = TypeVar("T")
# Statements that delete, with their values; they run on the file and on every copy of it.
Deletions = Sequence[tuple[str, tuple[str | int, ...]]]


class Store:
    """Conversations by owner and id. `owner` is whatever names one; ids are 128 random bits.

    Every method raises StoreError when the file cannot be read or written, and NotFound for an id
    that is not there or not the owner's: which of the two is not told.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._writer = Lane("store-writer", path, mode="rw")
        self._reader = Lane("store-reader", path, mode="ro")

    @classmethod
    async def open(cls, path: Path, *, clock: Callable[[], float] = time.time) -> Store:
        """Open or create `path`. StoreError for a damaged, foreign or newer file, left as it is."""
        await asyncio.to_thread(schema.prepare, path)
        return cls(path, clock)

    async def close(self) -> None:
        """Finish the writes that were asked for, then close. Closing twice is harmless."""
        await self._reader.close()
        await self._writer.close()

    async def create(
        self, owner: str, *, title: str = "", persona: str | None = None
    ) -> Conversation:
        """Begin a conversation. Without a title its first question becomes the title."""
        now = self._clock()
        fresh = Conversation(secrets.token_hex(16), _title(title), persona, now, now)
        await self._write(lambda db: rows.insert(db, owner, fresh.id, fresh.title, persona, now))
        return fresh

    async def list(self, owner: str, search: str = "") -> tuple[ConversationEntry, ...]:
        """The owner's conversations, latest first; with `search`, those that hold each word of it
        in the title or the text."""
        return await self._reader.run(lambda db: rows.entries(db, owner, search))

    async def get(self, owner: str, id: str) -> Conversation:
        """One conversation with its messages."""
        return await self._reader.run(lambda db: rows.conversation(db, owner, id))

    async def rename(self, owner: str, id: str, title: str) -> ConversationEntry:
        """Give a title of one line, 1 to 200 characters; recency stays. Raises InvalidRequest."""
        name = _title(title)
        if not name:
            raise InvalidRequest("The title is empty; give it at least one letter.", param="title")

        def work(db: sqlite3.Connection) -> ConversationEntry:
            rows.retitle(db, owner, id, name)
            return rows.entry(db, owner, id)

        return await self._write(work)

    async def append(
        self, owner: str, id: str, messages: Sequence[StoredMessage]
    ) -> ConversationEntry:
        """Add messages at the end, all or none, even if the caller is cancelled meanwhile."""
        now = self._clock()
        return await self._write(lambda db: rows.append(db, owner, id, messages, now))

    async def replace_tail(
        self, owner: str, id: str, keep: int, messages: Sequence[StoredMessage] = ()
    ) -> ConversationEntry:
        """Keep the first `keep` messages, delete the rest and add `messages`: edit, regenerate."""
        now = self._clock()
        deletions: Deletions = [
            ("DELETE FROM messages WHERE conversation = ? AND position >= ?", (storable(id), keep))
        ]

        def work(db: sqlite3.Connection) -> ConversationEntry:
            rows.check_keep(db, owner, id, keep)
            _run(db, deletions)
            return rows.append(db, owner, id, messages, now)

        return await self._delete(work, deletions)

    async def delete(self, owner: str, id: str) -> None:
        """Delete one conversation for good."""
        deletions: Deletions = [
            ("DELETE FROM messages WHERE conversation = ?", (storable(id),)),
            ("DELETE FROM conversations WHERE id = ?", (storable(id),)),
        ]

        def work(db: sqlite3.Connection) -> None:
            rows.entry(db, owner, id)
            _run(db, deletions)

        await self._delete(work, deletions)

    async def delete_all(self, owner: str) -> int:
        """Delete all of the owner's conversations for good; how many there were."""
        deletions: Deletions = [
            (
                "DELETE FROM messages WHERE conversation IN"
                " (SELECT id FROM conversations WHERE owner = ?)",
                (owner,),
            ),
            ("DELETE FROM conversations WHERE owner = ?", (owner,)),
        ]

        def work(db: sqlite3.Connection) -> int:
            count = len(rows.entries(db, owner, ""))
            _run(db, deletions)
            return count

        return await self._delete(work, deletions)

    async def export_markdown(
        self, owner: str, id: str, language: Literal["en", "zh"] = "en"
    ) -> str:
        """One conversation as Markdown to read; headings in `language`."""
        return export.markdown(await self.get(owner, id), language)

    async def export_json(self, owner: str, id: str) -> str:
        """One conversation as JSON with everything that is kept of it, but not its owner."""
        return export.as_json(await self.get(owner, id))

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._writer.run(lambda db: _transaction(db, work))

    async def _delete(self, work: Callable[[sqlite3.Connection], T], deletions: Deletions) -> T:
        def whole(db: sqlite3.Connection) -> T:
            result = _transaction(db, work)
            # The log still holds the old pages; merged and emptied, it does not.
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            for copy in schema.copies(self._path):
                with closing(connect(copy)) as old:
                    _transaction(old, lambda db: _run(db, deletions))
            return result

        return await self._writer.run(whole)


def _transaction(db: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    with db:
        db.execute("BEGIN IMMEDIATE")
        return work(db)


def _run(db: sqlite3.Connection, statements: Deletions) -> None:
    for statement, values in statements:
        db.execute(statement, values)


def _title(text: str) -> str:
    title = one_line(storable(text[: 2 * TITLE_LENGTH]))
    if len(title) > TITLE_LENGTH:
        raise InvalidRequest(
            f"The title is longer than {TITLE_LENGTH} characters; give a shorter one.",
            param="title",
        )
    return title
