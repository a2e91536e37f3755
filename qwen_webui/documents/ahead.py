"""Work that is done before anybody waits for it: one piece at a time, in the background.

Of one place only the latest wish is kept, and none is owed: what fails here is told to whoever asks
for it later. Knows nothing of what the work is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from qwen_webui.errors import WebUIError

log = logging.getLogger(__name__)


class Ahead:
    """For one event loop."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def want(self, place: str, work: Callable[[], Awaitable[object]]) -> None:
        """Do `work` when those before have been done, unless more is wanted for `place` first."""
        if place in self._waiting:
            self._waiting[place].cancel()
        task = asyncio.create_task(self._done(place, work), name="documents-ahead")
        self._waiting[place] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Do nothing any more. What was begun in a thread is not ended by this."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _done(self, place: str, work: Callable[[], Awaitable[object]]) -> None:
        async with self._turn:
            # From here on a later wish comes after it: it is not cut in the middle.
            del self._waiting[place]
            try:
                await work()
            except WebUIError as error:
                log.debug("nothing was made ready: %s", error.message)
