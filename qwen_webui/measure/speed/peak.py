"""Looks at the worker's memory while it answers. Asks the loader; knows no device."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from qwen_webui.engines.base import EngineLoader
from qwen_webui.errors import WebUIError

# Often enough for a long prompt's buffers, seldom enough to cost the answer nothing.
LOOK_SECONDS = 0.5


class Peak:
    """`bytes` is the most that was seen since this was made."""

    def __init__(self, loader: EngineLoader) -> None:
        self._loader = loader
        self.bytes = 0

    async def look(self) -> None:
        """Once. A worker that cannot say is no news here: whoever waits for its answer is told."""
        with suppress(WebUIError):
            self.bytes = max(self.bytes, (await self._loader.memory()).used_by_engine)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Looks all the while, and once more at the end."""
        watch = asyncio.create_task(self._keep_looking())
        try:
            yield
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
        await self.look()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()
