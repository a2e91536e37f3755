"""Values that are dear to make, kept while there is room: the one used longest ago goes first.

Who asks for a value while it is being made waits for it; it is made once. Knows nothing of what
the values are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memo(Generic[K, V]):
    """Values by key, together of at most `most` by `cost`; `self.cost` is that of all.
    For one event loop."""

    def __init__(self, most: int, cost: Callable[[V], int]) -> None:
        self.cost = 0
        self._most = most
        self._cost = cost
        self._kept: dict[K, tuple[V, int]] = {}
        self._made: dict[K, asyncio.Task[V]] = {}
        self._tasks: set[asyncio.Task[V]] = set()

    async def get(self, key: K, make: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """The value of `key`, made if it is not there; raises what `make` raises. It is made to
        the end although its asker goes away: the next one will want it."""
        if key in self._kept:
            self._kept[key] = self._kept.pop(key)
            return self._kept[key][0]
        task = self._made.get(key)
        if task is None:
            task = asyncio.create_task(make())
            self._made[key] = task
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._finished(key, done))
        return await _result(task)

    def forget(self, meets: Callable[[K], bool]) -> None:
        """Drop the values whose keys meet a condition; what is being made now is not kept."""
        for key in [key for key in self._kept if meets(key)]:
            self._drop(key)
        for key in [key for key in self._made if meets(key)]:
            del self._made[key]

    async def close(self) -> None:
        """Drop everything, and make nothing any more."""
        self.forget(lambda _: True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _finished(self, key: K, task: asyncio.Task[V]) -> None:
        self._tasks.discard(task)
        wanted = self._made.get(key) is task
        if wanted:
            del self._made[key]
        # Asked for in any case: all who waited may be gone, and an error is theirs alone.
        if task.cancelled() or task.exception() is not None or not wanted:
            return
        value = task.result()
        self._kept[key] = value, max(1, self._cost(value))
        self.cost += self._kept[key][1]
        while self.cost > self._most:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: K) -> None:
        self.cost -= self._kept.pop(key)[1]


async def _result(task: asyncio.Task[V]) -> V:
    shielded: Awaitable[V] = asyncio.shield(task)
    return await shielded
