"""The conversations of every owner, in one SQLite file: the store's front door.

All writes go through one thread with one connection, all reads through another, so neither ever
blocks the event loop; see file.py, also for what deleting means. Holds no opinion on who may be
which owner.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from qwen_webui.errors import InvalidRequest
from qwen_webui.store import documents, export, rows, runs, schema
from qwen_webui.store.documents import Documents
from qwen_webui.store.file import Deletion, File, run_all
from qwen_webui.store.runs import Runs
from qwen_webui.store.text import TITLE_LENGTH, one_line, storable
from qwen_webui.store.values import Conversation, ConversationEntry, StoredMessage

UPLOADS = "uploads"


class Store:
    """Conversations by owner and id, and `runs` and `documents` likewise. `owner` is whatever names
    one; ids are 128 random bits.

    Every method raises StoreError when the file cannot be read or written, and NotFound for an id
    that is not there or not the owner's: which of the two is not told.
    """

    def __init__(self, file: File, uploads: Path, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock
        self.runs = Runs(file, clock)
        self.documents = Documents(file, uploads, clock)

    @classmethod
    async def open(cls, path: Path, *, clock: Callable[[], float] = time.time) -> Store:
        """Open or create `path`; documents have their folders beside it, in `uploads`. StoreError
        for a damaged, foreign or newer file, left as it is."""
        await asyncio.to_thread(schema.prepare, path)
        return cls(File(path), path.parent / UPLOADS, clock)

    async def close(self) -> None:
        """Finish the writes that were asked for, then close. Closing twice is harmless."""
        await self._file.close()

    async def create(
        self, owner: str, *, title: str = "", persona: str | None = None
    ) -> Conversation:
        """Begin a conversation. Without a title its first question becomes the title; until then
        it is called like its first document."""
        now = self._clock()
        fresh = Conversation(secrets.token_hex(16), _title(title), persona, now, now)
        await self._file.write(
            lambda db: rows.insert(db, owner, fresh.id, fresh.title, persona, now)
        )
        return fresh

    async def list(self, owner: str, search: str = "") -> tuple[ConversationEntry, ...]:
        """The owner's conversations, latest first; with `search`, those that hold each word of it
        in the title, the text or the names of their documents."""
        return await self._file.read(lambda db: rows.entries(db, owner, search))

    async def get(self, owner: str, id: str) -> Conversation:
        """One conversation with its messages."""
        return await self._file.read(lambda db: rows.conversation(db, owner, id))

    async def rename(self, owner: str, id: str, title: str) -> ConversationEntry:
        """Give a title of one line, 1 to 200 characters; recency stays. Raises InvalidRequest."""
        name = _title(title)
        if not name:
            raise InvalidRequest("The title is empty; give it at least one letter.", param="title")

        def work(db: sqlite3.Connection) -> ConversationEntry:
            rows.retitle(db, owner, id, name)
            return rows.entry(db, owner, id)

        return await self._file.write(work)

    async def append(
        self, owner: str, id: str, messages: Sequence[StoredMessage]
    ) -> ConversationEntry:
        """Add messages at the end, all or none, even if the caller is cancelled meanwhile."""
        now = self._clock()
        return await self._file.write(lambda db: rows.append(db, owner, id, messages, now))

    async def replace_tail(
        self, owner: str, id: str, keep: int, messages: Sequence[StoredMessage] = ()
    ) -> ConversationEntry:
        """Keep the first `keep` messages, delete the rest and add `messages`: edit, regenerate."""
        now = self._clock()
        deletions = (
            Deletion("messages", "conversation = ? AND position >= ?", (storable(id), keep)),
        )

        def work(db: sqlite3.Connection) -> ConversationEntry:
            rows.check_keep(db, owner, id, keep)
            run_all(db, deletions)
            return rows.append(db, owner, id, messages, now)

        return await self._file.delete(work, deletions)

    async def delete(self, owner: str, id: str) -> None:
        """Delete one conversation with its documents for good."""
        deletions = (
            documents.deletion_in(id),
            Deletion("messages", "conversation = ?", (storable(id),)),
            Deletion("conversations", "id = ?", (storable(id),)),
        )

        def work(db: sqlite3.Connection) -> list[str]:
            rows.entry(db, owner, id)
            gone = documents.ids_of(db, deletions)
            run_all(db, deletions)
            return gone

        await self._file.delete(work, deletions, self.documents.deleted)

    async def delete_all(self, owner: str) -> int:
        """Delete all of the owner's conversations, runs and documents for good; how many
        conversations, runs, and documents without a conversation there were."""
        own = "conversation IN (SELECT id FROM conversations WHERE owner = ?)"
        deletions = (
            documents.deletion_of(owner),
            Deletion("messages", own, (owner,)),
            Deletion("conversations", "owner = ?", (owner,)),
            *runs.deletions_of(owner),
        )

        def work(db: sqlite3.Connection) -> tuple[int, list[str]]:
            count = len(rows.entries(db, owner, "")) + runs.count(db, owner)
            count += documents.count_alone(db, owner)
            gone = documents.ids_of(db, deletions)
            run_all(db, deletions)
            return count, gone

        count, _ = await self._file.delete(
            work, deletions, lambda result: self.documents.deleted(result[1])
        )
        return count

    async def export_markdown(
        self, owner: str, id: str, language: Literal["en", "zh"] = "en"
    ) -> str:
        """One conversation as Markdown to read; headings in `language`."""
        return export.markdown(await self.get(owner, id), language)

    async def export_json(self, owner: str, id: str) -> str:
        """One conversation as JSON with everything that is kept of it, but not its owner."""
        return export.as_json(await self.get(owner, id))


def _title(text: str) -> str:
    title = one_line(storable(text[: 2 * TITLE_LENGTH]))
    if len(title) > TITLE_LENGTH:
        raise InvalidRequest(
            f"The title is longer than {TITLE_LENGTH} characters; give a shorter one.",
            param="title",
        )
    return title
