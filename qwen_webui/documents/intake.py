"""A file on its way in: its bytes to the disk as they come, within the limit; its name, cleaned.

A file that nobody goes on to use is thrown away with the task that received it. What the file is,
is the reader's business; who may have it, the store's.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path, PurePosixPath
from typing import Any

from qwen_webui.errors import PayloadTooLarge, StoreError
from qwen_webui.store.documents import Documents
from qwen_webui.store.folders import Incoming

# Shown to people; a name beyond the second one is no name.
NAME_CHARACTERS = 200
_LONGEST_NAME = 1_000
_SUFFIX_CHARACTERS = 12
_UNNAMED = "document"
# Bytes that go to the disk at a time.
_PIECE = 1 << 20
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
    """Receives files for a store's documents, each of at most `most` bytes."""

    def __init__(self, documents: Documents, most: int) -> None:
        self._documents = documents
        self._most = most
        self._received: dict[Path, Incoming] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    async def receive(self, chunks: AsyncIterator[bytes]) -> Path:
        """Write `chunks` to a file. Raises PayloadTooLarge, and StoreError for a full disk.

        The file is deleted when the task that called this ends, unless it was taken before.
        """
        incoming = await self.begin()
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

    async def begin(self) -> Incoming:
        """An empty one; the caller discards it."""
        making = asyncio.create_task(self._documents.begin())
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            self.later(self._undo(making))
            raise

    async def discard(self, incoming: Incoming) -> None:
        """Throw it away unless it was put in place. Is done although the caller is cancelled."""
        await asyncio.shield(self.later(asyncio.to_thread(incoming.discard)))

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

    def _unused(self, path: Path) -> None:
        incoming = self._received.pop(path, None)
        if incoming is not None:
            self.later(asyncio.to_thread(incoming.discard))

    async def _undo(self, making: asyncio.Task[Incoming]) -> None:
        try:
            incoming = await making
        except StoreError:
            return  # nothing was made, and nobody is there to be told
        await asyncio.to_thread(incoming.discard)
