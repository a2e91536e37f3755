"""Brings the engine back after its process died or hung; gives up when it keeps dying.

Works inside the waiting line, ahead of everyone, so that the next request simply waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque

from qwen_webui.engines.base import Engine
from qwen_webui.errors import EngineCrashed, WebUIError
from qwen_webui.models.board import Board
from qwen_webui.models.line import Line, Ticket
from qwen_webui.models.slot import EngineSlot
from qwen_webui.types import Progress

log = logging.getLogger(__name__)

MOST_CRASHES, WITHIN_SECONDS = 3, 60.0
FIRST_PAUSE = 0.5  # doubled with every further attempt
NOTICE_SECONDS = 1.0  # for streams of the dead engine to end by themselves


class Recovery:
    """Told of every death by whoever noticed it; the first to tell starts the repair."""

    def __init__(self, slot: EngineSlot, line: Line, board: Board) -> None:
        self._slot = slot
        self._line = line
        self._board = board
        self._crashes: deque[float] = deque(maxlen=MOST_CRASHES)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        slot.died = self._died

    def worked(self) -> None:
        """An answer was completed: deaths before it are no longer in a row."""
        self._crashes.clear()

    def crashed(self, engine: Engine, error: WebUIError) -> None:
        """`engine` cannot be used any more. Harmless when that is known already."""
        if self._slot.engine is not engine or self._stopped:
            return
        log.error("the engine failed and is replaced: %s", error.message)
        self._slot.lose()
        self._crashes.append(time.monotonic())
        if self._board.now.state == "ready":
            self._board.post(state="loading", target=self._board.now.name, progress=None)
        task = asyncio.create_task(self._repair(self._line.join(alone=True, first=True), error))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End a repair where it is; there are no others."""
        self._stopped = True
        self._slot.unwatch()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _died(self, engine: Engine) -> None:
        self.crashed(engine, EngineCrashed("The engine process ended unexpectedly."))

    async def _repair(self, ticket: Ticket, error: WebUIError) -> None:
        try:
            await self._line.reach(ticket)
            if self._slot.engine is not None or self._slot.held is None:
                return  # a swap that held the line has seen to it
            await self._line.idle(NOTICE_SECONDS)
            self._line.cut()
            await self._bring_back(error)
        finally:
            self._line.leave(ticket)

    async def _bring_back(self, error: WebUIError) -> None:
        held = self._slot.held
        assert held is not None, "only what was held can come back"
        pause = 0.0
        while not self._too_many():
            await asyncio.sleep(pause)
            pause = pause * 2 or FIRST_PAUSE
            try:
                await self._slot.put(held, self._loading)
            except WebUIError as again:
                log.error("%s could not be brought back: %s", held.name, again.message)
                self._slot.broken = True
                self._crashes.append(time.monotonic())
                error = again
            else:
                assert self._slot.engine is not None, "a load that succeeded left an engine"
                log.info("%s is back", held.name)
                self._board.settle(name=held.name, info=self._slot.engine.info)
                return
        self._give_up(error)

    def _too_many(self) -> bool:
        full = len(self._crashes) == MOST_CRASHES
        return full and self._crashes[-1] - self._crashes[0] <= WITHIN_SECONDS

    def _give_up(self, error: WebUIError) -> None:
        assert self._slot.held is not None, "only what was held can be given up"
        name = self._slot.held.name
        self._slot.held = None
        self._crashes.clear()
        message = (
            f"{name} failed {MOST_CRASHES} times within a minute and is not started again: "
            f"{error.message} Load it again, or load another checkpoint."
        )
        log.error("%s", message)
        self._board.post(
            state="failed",
            name=None,
            target=None,
            info=None,
            progress=None,
            error=message,
            error_code=error.code,
        )

    def _loading(self, progress: Progress) -> None:
        self._board.post(progress=progress)
