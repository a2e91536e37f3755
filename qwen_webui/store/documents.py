"""Uploaded documents, of every owner: a row each, and a folder with the file and its text.

Row and folder come and go together: the folder is put in place within the transaction that adds
the row, and deleted after the one that takes it away; what a crash leaves between is swept. What
the text means is none of the store's business. Another owner's document is missing exactly as one
that never was.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from qwen_webui.errors import Conflict, InvalidRequest, PayloadTooLarge, StoreError
from qwen_webui.store import rows
from qwen_webui.store.file import Deletion, File, run_all
from qwen_webui.store.folders import Folders, Incoming, missing
from qwen_webui.store.text import storable
from qwen_webui.store.values import StoredDocument

MOST_OF_A_CONVERSATION = 20
MOST_WITHOUT = 100
# Of one owner, in all conversations together.
MOST_IN_CONVERSATIONS = 2_000
# Bytes on the disk of one owner, files and what was read of them: of the documents in
# conversations, and of those without.
MOST_BYTES = 4 << 30
MOST_BYTES_WITHOUT = 1 << 30

_COLUMNS = (
    *("id", "name", "kind", "unit", "pages", "bytes", "created", "conversation", "expires"),
    *("to_recognise", "original", "revision"),
)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM documents"
_ALIVE = "(expires IS NULL OR expires > ?)"


class Documents:
    """Documents by owner and id; ids are 128 random bits. Raises as Store does."""

    def __init__(self, file: File, root: Path, clock: Callable[[], float]) -> None:
        self._file = file
        self._folders = Folders(root)
        self._clock = clock
        self._watchers: list[Callable[[Sequence[str]], None]] = []

    def watch(self, watcher: Callable[[Sequence[str]], None]) -> None:
        """Call `watcher`, in a thread, with the ids of documents that were deleted."""
        self._watchers.append(watcher)

    async def begin(self) -> Incoming:
        """A folder for a document on its way. Whoever began it discards it in the end."""
        return await asyncio.to_thread(self._folders.begin)

    async def check_room(self, owner: str, conversation: str | None, size: int) -> None:
        """Raise NotFound unless the conversation is the owner's, and if no document more may be
        added to it, or to those without one, InvalidRequest; PayloadTooLarge (documents_full) if
        none of `size` bytes may."""
        await self._file.read(lambda db: self._check_room(db, owner, conversation, size))

    async def add(self, owner: str, fresh: StoredDocument, incoming: Incoming) -> StoredDocument:
        """Keep what is in `incoming`, which is finished; given back with its id and its time."""
        kept = dataclasses.replace(
            fresh,
            id=secrets.token_hex(16),
            name=storable(fresh.name),
            created=fresh.created or self._clock(),
        )

        def work(db: sqlite3.Connection) -> None:
            self._check_room(db, owner, kept.conversation, incoming.size)
            _insert(db, owner, kept)
            # Last within the transaction: without a row the folder is an orphan, which is swept.
            self._folders.place(incoming, kept.id)

        try:
            await self._file.write(work)
        except StoreError:
            # The folder may be in its place although the row is not.
            await asyncio.to_thread(self._folders.remove, (kept.id,))
            raise
        return kept

    async def list(self, owner: str, conversation: str | None) -> tuple[StoredDocument, ...]:
        """Those of a conversation, or those without one, oldest first. Raises NotFound."""

        def work(db: sqlite3.Connection) -> tuple[StoredDocument, ...]:
            if conversation is not None:
                rows.entry(db, owner, conversation)
            found = db.execute(
                f"{_SELECT} WHERE owner = ? AND conversation IS ? AND {_ALIVE}"
                " ORDER BY created, rowid",
                (owner, conversation, self._clock()),
            )
            return tuple(map(_document, found))

        return await self._file.read(work)

    async def get(self, owner: str, id: str) -> StoredDocument:
        """One document, without its text. Raises NotFound."""
        return await self._file.read(lambda db: self._get(db, owner, id))

    async def text(self, kept: StoredDocument) -> bytes:
        """The text of a document that the caller may have. Raises NotFound if it is gone."""
        return await asyncio.to_thread(self._folders.text, kept.id)

    def original(self, kept: StoredDocument) -> Path:
        """The file as it was uploaded."""
        assert kept.original, "pasted text has no file"
        return self._folders.original(kept.id)

    async def replace_text(
        self, owner: str, kept: StoredDocument, text: bytes, to_recognise: tuple[int, ...]
    ) -> StoredDocument:
        """Put another text in the place of the present one, whole or not at all. Raises NotFound,
        and Conflict if somebody else did so meanwhile."""
        fresh = await asyncio.to_thread(self._folders.write_text, kept.id, text)
        changed = dataclasses.replace(kept, to_recognise=to_recognise, revision=kept.revision + 1)

        def work(db: sqlite3.Connection) -> None:
            if self._get(db, owner, kept.id).revision != kept.revision:
                raise Conflict("The document was changed meanwhile. Load it again.", param="id")
            db.execute(
                "UPDATE documents SET to_recognise = ?, revision = ? WHERE id = ?",
                (json.dumps(to_recognise), changed.revision, kept.id),
            )
            self._folders.put_text(fresh)

        try:
            await self._file.write(work)
        finally:
            await asyncio.to_thread(self._folders.drop_text, fresh)
        return changed

    async def delete(self, owner: str, id: str) -> None:
        """Delete one document for good. Raises NotFound."""

        def work(db: sqlite3.Connection) -> list[str]:
            found = [self._get(db, owner, id).id]
            run_all(db, deletions)
            return found

        deletions = (Deletion("documents", "id = ?", (storable(id),)),)
        await self._file.delete(work, deletions, self.deleted)

    async def sweep(self) -> None:
        """Delete what has expired, and what a crash left between a row and its folder."""
        deletions = (Deletion("documents", "expires <= ?", (self._clock(),)),)

        def work(db: sqlite3.Connection) -> list[str]:
            found = ids_of(db, deletions)
            run_all(db, deletions)
            return found

        if await self._file.read(lambda db: ids_of(db, deletions)):
            await self._file.delete(work, deletions, self.deleted)
        # In a transaction that writes: no program is then between a folder and its row.
        orphans = await self._file.write(lambda db: self._folders.orphans(_all_ids(db)))
        await asyncio.to_thread(self._folders.sweep, orphans)

    def deleted(self, ids: Sequence[str]) -> None:
        """Their rows are gone: delete the folders, and tell those who watch. Blocks."""
        self._folders.remove(ids)
        for watcher in self._watchers:
            watcher(ids)

    def _get(self, db: sqlite3.Connection, owner: str, id: str) -> StoredDocument:
        row = db.execute(
            f"{_SELECT} WHERE id = ? AND owner = ? AND {_ALIVE}",
            (storable(id), owner, self._clock()),
        ).fetchone()
        if row is None:
            raise missing()
        return _document(row)

    def _check_room(
        self, db: sqlite3.Connection, owner: str, conversation: str | None, size: int
    ) -> None:
        if conversation is not None:
            rows.entry(db, owner, conversation)
        within = "IS NULL" if conversation is None else "IS NOT NULL"
        found = db.execute(
            f"SELECT id, conversation FROM documents WHERE owner = ? AND conversation {within}"
            f" AND {_ALIVE}",
            (owner, self._clock()),
        ).fetchall()
        there = sum(place == conversation for _, place in found)
        if conversation is None:
            _check_count(there, MOST_WITHOUT, "without a conversation")
        else:
            _check_count(there, MOST_OF_A_CONVERSATION, "in this conversation")
            _check_count(len(found), MOST_IN_CONVERSATIONS, "in your conversations")
        taken = self._folders.size(id for id, _ in found)
        _check_bytes(taken, size, MOST_BYTES_WITHOUT if conversation is None else MOST_BYTES)


def _check_count(there: int, most: int, where: str) -> None:
    if there >= most:
        raise InvalidRequest(
            f"There are {there:,} documents {where}, and {most:,} are the most. Delete one first.",
            code="too_many_documents",
        )


def _check_bytes(taken: int, size: int, most: int) -> None:
    if taken + size > most:
        raise PayloadTooLarge(
            f"Your documents take {taken / 2**20:,.0f} MiB on the server, and with this one they "
            f"would take more than {most / 2**20:,.0f} MiB, which is the most. Delete some first.",
            code="documents_full",
        )


def deletion_of(owner: str) -> Deletion:
    """What deletes all documents of `owner`."""
    return Deletion("documents", "owner = ?", (owner,))


def deletion_in(conversation: str) -> Deletion:
    """What deletes all documents of a conversation."""
    return Deletion("documents", "conversation = ?", (storable(conversation),))


def count_alone(db: sqlite3.Connection, owner: str) -> int:
    """How many documents without a conversation `owner` has."""
    row = db.execute(
        "SELECT count(*) FROM documents WHERE owner = ? AND conversation IS NULL", (owner,)
    ).fetchone()
    return int(row[0])


def ids_of(db: sqlite3.Connection, deletions: Sequence[Deletion]) -> list[str]:
    """The documents that `deletions` would delete."""
    return [
        id
        for deletion in deletions
        if deletion.table == "documents"
        for (id,) in db.execute(f"SELECT id FROM documents WHERE {deletion.where}", deletion.values)
    ]


def _all_ids(db: sqlite3.Connection) -> set[str]:
    return {id for (id,) in db.execute("SELECT id FROM documents")}


def _insert(db: sqlite3.Connection, owner: str, kept: StoredDocument) -> None:
    values = {name: getattr(kept, name) for name in _COLUMNS}
    values["to_recognise"] = json.dumps(kept.to_recognise)
    places = ", ".join("?" * (len(_COLUMNS) + 1))
    db.execute(
        f"INSERT INTO documents (owner, {', '.join(_COLUMNS)}) VALUES ({places})",
        (owner, *(values[name] for name in _COLUMNS)),
    )


def _document(row: Sequence[object]) -> StoredDocument:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["to_recognise"] = tuple(json.loads(str(values["to_recognise"])))
    values["original"] = bool(values["original"])
    return StoredDocument(**values)  # type: ignore[arg-type]  # SQLite's values have no static type
