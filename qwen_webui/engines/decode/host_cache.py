"""Loaded checkpoints kept in the host's memory, so that a swap back to one only copies it.

Least recently used goes first when the limit is reached, and whatever the limit when the machine
runs short of memory. Knows nothing of devices: what is kept is a `Copy` of the device's own.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

from qwen_webui.memory import GIB, machine_memory
from qwen_webui.types import Dtype, LoadPlan

# Short of memory: less than this, or than this share of the machine's, is available.
FLOOR, FLOOR_SHARE = GIB, 0.05
WATCH_SECONDS = 1.0

log = logging.getLogger(__name__)

# Checkpoint's folder, dtype, and each weights file's name, size and time of change.
Key = tuple[str, str, tuple[tuple[str, int, int], ...]]
Stop = Callable[[], bool]


class Copy(Protocol):
    """What a device's loader can make a computer of again."""

    @property
    def nbytes(self) -> int:
        """Of the host's memory."""
        ...

    def release(self) -> None:
        """Give the memory back. Nothing is read afterwards."""
        ...


class NotKept(Exception):
    """The copy was not made: it was told to stop, or the system has no such memory."""


@runtime_checkable
class Copyable(Protocol):
    """A computer whose weights are worth keeping: they are not in the host's memory anyway."""

    @property
    def copy_bytes(self) -> int:
        """What `saved` takes of the host's memory."""
        ...

    def saved(self, stop: Stop) -> Copy:
        """A copy of the weights. Raises NotKept."""
        ...


def key_of(plan: LoadPlan, dtype: Dtype) -> Key:
    """Changes with the files. The context is no part of it: that is the cache's, not the
    weights'."""
    files = sorted(Path(plan.folder).glob("*.safetensors"))
    told = tuple((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files)
    return str(Path(plan.folder).resolve()), dtype, told


def short_of_memory(more: int = 0) -> bool:
    """Whether programs of this machine, or of this container, may soon get none, once `more` bytes
    are taken."""
    room = machine_memory("cpu")
    return room.free - more < max(FLOOR, FLOOR_SHARE * room.total)


class HostCache:
    """Copies by key. May be used from several threads; one copy is made at a time."""

    def __init__(self, short: Callable[[int], bool] = short_of_memory) -> None:
        self._short = short
        self._copies: OrderedDict[Key, Copy] = OrderedDict()
        self._limit = 0
        self._lock = threading.Lock()
        self._making: threading.Thread | None = None
        self._stop = threading.Event()
        self._watching = False

    @property
    def nbytes(self) -> int:
        """Held now."""
        return sum(copy.nbytes for copy in self._copies.values())

    def limit(self, nbytes: int) -> None:
        """Hold no more than `nbytes` from now on; 0 holds nothing."""
        with self._lock:
            self._limit = nbytes
            self._evict(nbytes)

    @contextmanager
    def lent(self, key: Key) -> Iterator[Copy | None]:
        """The copy under `key`, now the most recently used; nothing is dropped meanwhile."""
        with self._lock:
            if key in self._copies:
                self._copies.move_to_end(key)
            yield self._copies.get(key)

    def forget(self, key: Key) -> None:
        """Drop the copy under `key`: nothing could be made of it."""
        with self._lock:
            if (copy := self._copies.pop(key, None)) is not None:
                copy.release()

    def keep(self, key: Key, computer: Copyable) -> None:
        """Have `computer` make its copy in the background, unless it is there, or too large, or
        memory is short. Until `settle` the computer is held."""
        nbytes = computer.copy_bytes
        with self._lock:
            if key in self._copies or nbytes > self._limit:
                return
            self._evict(self._limit - nbytes)
            if self._short(nbytes):
                return
        self._stop.clear()
        self._making = threading.Thread(
            target=self._make, args=(key, computer), name="host-cache", daemon=True
        )
        self._making.start()

    def settle(self, *, stop: bool = False) -> None:
        """Wait until no copy is being made; with `stop`, one under way is given up."""
        if stop:
            self._stop.set()
        thread, self._making = self._making, None
        if thread is not None:
            thread.join()

    def trim(self) -> None:
        """Drop copies, least recently used first, while memory is short."""
        with self._lock:
            while self._copies and self._short(0):
                self._drop()
                log.info("memory is short: a checkpoint kept in the host's memory was dropped")

    def _make(self, key: Key, computer: Copyable) -> None:
        try:
            copy = computer.saved(self._stop.is_set)
        except NotKept as reason:
            log.info("a checkpoint is not kept in the host's memory: %s", reason)
            return
        with self._lock:
            self._copies[key] = copy
            self._evict(self._limit)
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="host-cache-watch", daemon=True).start()

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(WATCH_SECONDS):
            try:
                self.trim()
            except Exception as error:
                # What could not be given back is looked at again.
                log.error("the host's memory could not be given back", exc_info=error)
            with self._lock:
                if not self._copies:
                    self._watching = False
                    return

    def _evict(self, most: int) -> None:
        while self._copies and self.nbytes > most:
            self._drop()

    def _drop(self) -> None:
        _, copy = self._copies.popitem(last=False)
        copy.release()
