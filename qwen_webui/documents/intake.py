"""A file on its way in: its bytes to the disk as they come, within the limit; its name, cleaned.

A file that nobody goes on to use is thrown away with the task that received it. What the file is,
is the reader's business; who may have it, the store's.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path, PurePosixPath
from typing import Any

from qwen_webui.errors import Overloaded, PayloadTooLarge, StoreError
from qwen_webui.store.documents import Documents
from qwen_webui.store.folders import Incoming

# Shown to people; a name beyond the second one is no name.
NAME_CHARACTERS = 200
_LONGEST_NAME = 1_000
_SUFFIX_CHARACTERS = 12
_UNNAMED = "document"
# Bytes that go to the disk at a time.
_PIECE = 1 << 20
# Documents on their way at a time, from their first byte until they are there: of one owner, and
# of all. Each may take the disk's room for a file and, read, the memory of its text.
MOST_OF_OWNER = 8
MOST = 32
_RETRY_SECONDS = 5
# Control characters, and those that turn the direction of the text or break its line.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def shown_name(name: str) -> str:
    """A file's name as it is kept and shown: the last part of a path, in one line, not over
    NAME_CHARACTERS, with its extension. Raises PayloadTooLarge for a name that is none."""
    if len(name) > _LONGEST_NAME:
        raise PayloadTooLarge(
            f"The file's name has {len(name):,} characters; {_LONGEST_NAME:,} are the most. "
            "Give it a shorter one.",
            param="name",
        )
    seen = "".join(" " if c.isspace() else c for c in unicodedata.normalize("NFC", name))
    seen = "".join(c for c in seen if unicodedata.category(c) not in _UNSEEN)
    last = " ".join(re.split(r"[/\\]", seen)[-1].split())
    if not last.strip("."):
        return _UNNAMED
    suffix = PurePosixPath(last).suffix[:_SUFFIX_CHARACTERS]
    if len(last) > NAME_CHARACTERS:
        last = last[: NAME_CHARACTERS - len(suffix) - 1] + "…" + suffix
    return last


class Intake:
    """Receives files for a store's documents, each of at most `most` bytes, few at a time."""

    def __init__(self, documents: Documents, most: int) -> None:
        self._documents = documents
        self._most = most
        self._on_their_way: Counter[str] = Counter()
        self._owners: dict[Incoming, str] = {}
        self._received: dict[Path, Incoming] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    async def receive(self, owner: str, chunks: AsyncIterator[bytes]) -> Path:
        """Write `chunks` to a file. Raises PayloadTooLarge, StoreError for a full disk, and
        Overloaded, before a byte is taken.

        The file is deleted when the task that called this ends, unless it was taken before.
        """
        incoming = await self.begin(owner)
        try:
            await self._fill(incoming, chunks)
        except BaseException:
            await self.discard(incoming)
            raise
        path = incoming.original
        self._received[path] = incoming
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        task.add_done_callback(lambda _: self._unused(path))
        return path

    def take(self, path: Path) -> Incoming:
        """What was received at `path`; the caller discards it from here on."""
        assert path in self._received, "a file is taken once, by the task that received it"
        return self._received.pop(path)

    async def begin(self, owner: str) -> Incoming:
        """An empty one; the caller discards it, or says that it is `placed`. Raises Overloaded."""
        self._enter(owner)
        making = asyncio.create_task(self._documents.begin())
        try:
            incoming = await asyncio.shield(making)
        except asyncio.CancelledError:
            self.later(self._undo(owner, making))
            raise
        except BaseException:
            self._leave(owner)
            raise
        self._owners[incoming] = owner
        return incoming

    def placed(self, incoming: Incoming) -> None:
        """It is a document now."""
        incoming.unlock()
        self._leave(self._owners.pop(incoming))

    async def discard(self, incoming: Incoming) -> None:
        """Throw it away unless it was put in place. Is done although the caller is cancelled."""
        await asyncio.shield(self.later(self._thrown_away(incoming)))

    def later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do `work` whoever is cancelled; `close` waits for it."""
        task = asyncio.create_task(work)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        return task

    async def close(self) -> None:
        """Throw away what nobody took."""
        for path in list(self._received):
            self._unused(path)
        while self._leaving:
            await asyncio.wait(self._leaving)

    async def _fill(self, incoming: Incoming, chunks: AsyncIterator[bytes]) -> None:
        size, held = 0, bytearray()
        async for chunk in chunks:
            size += len(chunk)
            if size > self._most:
                raise PayloadTooLarge(
                    f"The file is larger than {self._most / 2**20:,.0f} MiB, which is the most "
                    "that is read. Split it into smaller files."
                )
            held += chunk
            if len(held) >= _PIECE:
                await asyncio.to_thread(incoming.append, bytes(held))
                held.clear()
        if held:
            await asyncio.to_thread(incoming.append, bytes(held))

    def _enter(self, owner: str) -> None:
        if self._on_their_way[owner] >= MOST_OF_OWNER:
            raise Overloaded(
                f"{MOST_OF_OWNER} of your documents are on their way already, and that is the most "
                "at a time. Wait until one of them was read, and send this one again.",
                code="too_many_uploads",
                retry_after=_RETRY_SECONDS,
            )
        if self._on_their_way.total() >= MOST:
            raise Overloaded(
                f"The server is taking in {MOST} documents already, and that is the most at a "
                "time. Wait a little, and send this one again.",
                code="too_many_uploads",
                retry_after=_RETRY_SECONDS,
            )
        self._on_their_way[owner] += 1

    def _leave(self, owner: str) -> None:
        self._on_their_way[owner] -= 1
        if not self._on_their_way[owner]:
            del self._on_their_way[owner]

    def _unused(self, path: Path) -> None:
        incoming = self._received.pop(path, None)
        if incoming is not None:
            self.later(self._thrown_away(incoming))

    async def _thrown_away(self, incoming: Incoming) -> None:
        await asyncio.to_thread(incoming.discard)
        owner = self._owners.pop(incoming, None)
        if owner is not None:
            self._leave(owner)

    async def _undo(self, owner: str, making: asyncio.Task[Incoming]) -> None:
        try:
            incoming = await making
            await asyncio.to_thread(incoming.discard)
        except StoreError:
            pass  # nothing was made, and nobody is there to be told
        finally:
            self._leave(owner)
