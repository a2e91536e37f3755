"""The model kept for one long job that loads several checkpoints in turn, and given back after it.

The job stands in the line as a swap does; who comes later waits behind it and is told why, and is
answered by the checkpoint from before, never by one of the job's. What the job does meanwhile is
reserved.py's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from qwen_webui.errors import Conflict, ShuttingDown, WebUIError
from qwen_webui.models.line import Ticket
from qwen_webui.models.reserved import Parts, Reserved
from qwen_webui.models.slot import Prepared
from qwen_webui.types import EngineInfo, Progress

log = logging.getLogger(__name__)

STOPPED = "The server is shutting down; the job that kept the model ended with it."
ATTEMPTS = 2  # to give back what was loaded before; a process may die at a bad moment
LET_GO_SECONDS = 2.0  # for a job to notice that the server stops


class Hold:
    """At most one job has the model. `turn` is what loads take turns with."""

    def __init__(self, parts: Parts, turn: asyncio.Lock, drain_seconds: float) -> None:
        self._parts = parts
        self._turn = turn
        self._drain_seconds = drain_seconds
        self._reserved: Reserved | None = None
        self._limit: asyncio.Timeout | None = None
        self._giving: asyncio.Task[None] | None = None
        self._free = asyncio.Event()
        self._free.set()
        self._stopping = False

    @property
    def serving(self) -> Prepared | None:
        """What answers those who ask now: during a job what was loaded before it."""
        reserved = self._reserved
        return reserved.previous if reserved is not None else self._parts.slot.held

    @asynccontextmanager
    async def reserved(self, reason: str) -> AsyncIterator[Reserved]:
        """The model for one job, after those who came before; `reason` is a sentence for those
        who wait. From the call on other loads are refused. However the block ends, what was
        loaded before is loaded again (`Reserved.lost` says why not), or nothing is; the server's
        end does not wait for that. Raises Conflict and ShuttingDown."""
        if self._stopping:
            raise ShuttingDown(STOPPED)
        if self._parts.board.hold is not None:
            raise Conflict(f"{self._parts.board.hold} Wait until that is done, or cancel it.")
        self._parts.board.hold = reason
        self._free.clear()
        # No limit of time, but what ends the job where it is when the server stops.
        limit = self._limit = asyncio.timeout(None)
        try:
            async with limit, self._granted(reason) as reserved:
                yield reserved
        except TimeoutError:
            if not limit.expired():
                raise
            raise ShuttingDown(STOPPED) from None
        finally:
            if self._limit is limit:
                self._limit = None

    async def stop(self) -> None:
        """End the job, or the giving back, where it is; nothing is loaded any more."""
        self._stopping = True
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())
        if self._giving is not None:
            self._giving.cancel()
        try:
            async with asyncio.timeout(LET_GO_SECONDS):
                await self._free.wait()
        except TimeoutError:
            log.warning("a job did not let go of the model in %g seconds", LET_GO_SECONDS)

    @asynccontextmanager
    async def _granted(self, reason: str) -> AsyncIterator[Reserved]:
        ticket = await self._in_line()
        try:
            await self._parts.line.reach(ticket)
            reserved = await self._began(reason)
            yield reserved
        finally:
            # As a task, so that a job cancelled once more does not cut it off.
            self._giving = asyncio.create_task(self._give_back(ticket))
            await asyncio.shield(self._giving)

    async def _in_line(self) -> Ticket:
        board = self._parts.board
        try:
            while board.pending:  # asked for before, and nothing new comes to them
                await board.changed(board.now)
            await self._turn.acquire()
        except BaseException:
            self._freed()
            raise
        try:
            return self._parts.line.join(alone=True)
        except BaseException:
            self._turn.release()
            self._freed()
            raise

    async def _began(self, reason: str) -> Reserved:
        slot, line = self._parts.slot, self._parts.line
        reserved = self._reserved = Reserved(self._parts, slot.held)
        line.why = reason
        state = "loading" if reserved.previous is None else "swapping"
        self._parts.board.post(
            state=state, target=None, progress=None, error=None, error_code=None, held_for=reason
        )
        if not await line.idle(self._drain_seconds):
            await slot.clear()  # who still runs is cut, as by a swap
            line.cut()
        return reserved

    async def _give_back(self, ticket: Ticket) -> None:
        try:
            if self._reserved is not None and not self._stopping:
                await self._restore(self._reserved)
        finally:
            self._reserved = self._giving = None
            self._parts.line.why = None
            self._parts.line.leave(ticket)
            self._turn.release()
            self._freed()

    async def _restore(self, reserved: Reserved) -> None:
        """What was loaded before, or nothing, and the board says which."""
        previous, slot = reserved.previous, self._parts.slot
        try:
            if previous is None:
                slot.held = None
                await slot.clear()
            elif slot.held is not previous or slot.engine is None:
                self._parts.board.post(target=previous.name, progress=None)
                await self._put_back(previous)
        except WebUIError as error:
            log.error("what was loaded before a job could not be given back: %s", error.message)
            slot.held = None
            reserved.lost = error
        engine = slot.engine
        if previous is None or reserved.lost is not None or engine is None:
            self._gone(previous, reserved.lost)
        else:
            self._settled(previous, engine.info)

    async def _put_back(self, previous: Prepared) -> None:
        slot = self._parts.slot
        slot.held = None
        await slot.clear()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await slot.put(previous, self._loading)
                return
            except WebUIError:
                if attempt == ATTEMPTS:
                    raise

    def _settled(self, previous: Prepared, info: EngineInfo) -> None:
        self._parts.board.settle(name=previous.name, info=info, held_for=None, held_progress=None)

    def _gone(self, previous: Prepared | None, error: WebUIError | None) -> None:
        message = None
        if error is not None and previous is not None:
            title = previous.plan.spec.title
            message = f"{title} was loaded before and could not be loaded again: {error.message}"
        self._parts.board.post(
            state="empty" if message is None else "failed",
            name=None,
            target=None,
            info=None,
            progress=None,
            held_for=None,
            held_progress=None,
            error=message,
            error_code=error.code if error else None,
        )

    def _loading(self, progress: Progress) -> None:
        self._parts.board.post(progress=progress)

    def _freed(self) -> None:
        self._parts.board.hold = None
        self._free.set()
