"""Loads and swaps: one after the other, the old checkpoint back on any failure.

Order of a swap: forecast, download, drain, cut, unload, measure, load, smoke. Until the drain the
old checkpoint serves; never are two alive. Repairs after a crash are recovery.py's.
"""

from __future__ import annotations

import asyncio
import logging
import time

from qwen_webui.checkpoints import Library
from qwen_webui.errors import Conflict, EngineCrashed, ShuttingDown, WebUIError
from qwen_webui.models.board import Board
from qwen_webui.models.line import Line
from qwen_webui.models.slot import EngineSlot, Prepared
from qwen_webui.models.tally import Tally
from qwen_webui.types import CheckpointSpec, Progress, SwapReport

log = logging.getLogger(__name__)


class Swapper:
    """Runs the loads that were asked for, in turn. After `stop` nothing is brought back."""

    def __init__(
        self,
        library: Library,
        slot: EngineSlot,
        line: Line,
        board: Board,
        drain_seconds: float,
        tally: Tally,
    ) -> None:
        self._library = library
        self._slot = slot
        self._line = line
        self._board = board
        self._drain_seconds = drain_seconds
        self._tally = tally
        self.turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[SwapReport] | asyncio.Task[None]] = set()
        self._cancellable: asyncio.Task[object] | None = None
        self._stopping = False

    def begin(
        self, name: str, notes: tuple[str, ...] = (), *, wait_turn: bool = True
    ) -> asyncio.Task[SwapReport]:
        """Start a load in the background; the status says so from this moment. Raises NotFound,
        Conflict (a job keeps the model, or another is under way and `wait_turn` is False) or
        ShuttingDown."""
        self._refuse_when_stopping()
        self._refuse_when_held()
        if not wait_turn and self._board.pending:
            raise Conflict(
                f"{self._board.pending[0]} is being loaded. Wait until it is done, cancel it, or "
                "ask to wait your turn.",
                retry_after=self._line.retry_after(),
            )
        spec = self._library.get(name)
        self._board.pending.append(spec.name)
        if len(self._board.pending) == 1:
            self._announce(spec, notes)
        task = asyncio.create_task(self._run(spec, notes))
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def unload(self) -> asyncio.Task[None]:
        """Start to unload; empty afterwards."""
        self._refuse_when_stopping()
        self._refuse_when_held()
        task = asyncio.create_task(self._unload())
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def cancel(self) -> asyncio.Task[object] | None:
        """Give up the load under way, if it still can be; returns its task, which goes on until
        the previous checkpoint is back."""
        task, self._cancellable = self._cancellable, None
        if task is not None:
            task.cancel()
        return task

    async def stop(self) -> None:
        """End every load where it is."""
        self._stopping = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _refuse_when_stopping(self) -> None:
        if self._stopping:
            raise ShuttingDown("The server is shutting down; nothing is loaded any more.")

    def _refuse_when_held(self) -> None:
        if self._board.hold is not None:
            raise Conflict(
                f"{self._board.hold} Until that is done nothing else is loaded or unloaded. "
                "Wait, or cancel it.",
                retry_after=self._line.retry_after(),
            )

    def _forget(self, task: asyncio.Task[SwapReport] | asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # it is in the status; nobody may be left to fetch it

    def _announce(self, spec: CheckpointSpec, notes: tuple[str, ...]) -> None:
        state = "swapping" if self._slot.held else "loading"
        self._board.post(
            state=state,
            target=spec.name,
            progress=None,
            error=None,
            error_code=None,
            notes=notes,
        )

    async def _run(self, spec: CheckpointSpec, notes: tuple[str, ...]) -> SwapReport:
        """One load in its turn; its end, good or bad, is on the board."""
        async with self.turn:
            self._announce(spec, notes)
            self._cancellable = asyncio.current_task()
            try:
                report = await self._load(spec)
            except asyncio.CancelledError:
                if self._stopping:
                    raise
                error = Conflict(f"Loading {spec.title} was cancelled.", code="load_cancelled")
                self._failed(spec, error)
                raise error from None
            except Exception as error:
                reason = load_failure(spec, error)
                log.warning("loading %s failed: %s", spec.name, reason.message)
                self._failed(spec, reason)
                raise reason from (None if reason is error else error)
            finally:
                self._cancellable = None
            self._loaded(spec, report)
            return report

    async def _load(self, spec: CheckpointSpec) -> SwapReport:
        began, held, last = time.monotonic(), self._slot.held, self._board.now.last_swap
        loaded_already = held is not None and held.name == spec.name and self._slot.engine
        if loaded_already and last is not None and last.name == spec.name:
            return last
        need = await self._slot.admit(spec)
        folder = await self._library.fetch(spec, self._downloading)
        here = self._library.get(spec.name)
        if here != spec:  # now its files say what the catalogue could not
            need = await self._slot.admit(here)
        prepared = await self._slot.prepare(need, here, folder)
        ticket = self._line.join(alone=True)
        try:
            await self._line.reach(ticket)
            previous = self._slot.held
            self._board.post(state="swapping" if previous else "loading", progress=None)
            await self._line.idle(self._drain_seconds)
            freed, loaded = await self._exchange(previous, prepared)
        finally:
            self._line.leave(ticket)
        name = previous.name if previous else None
        return SwapReport(spec.name, name, need, freed, loaded, time.monotonic() - began)

    async def _exchange(self, previous: Prepared | None, new: Prepared) -> tuple[int, int]:
        """Unload, load; bytes freed and taken. On failure `previous` is there again, if it can."""
        try:
            freed = await self._slot.clear()
            self._line.cut()
            self._slot.held = new
            return freed, await self._slot.put(new, self._loading)
        except BaseException:
            self._cancellable = None  # the way back is not to be cut off as well
            self._slot.held = previous
            if not self._stopping:
                await self._bring_back(previous)
            raise

    async def _bring_back(self, previous: Prepared | None) -> None:
        if previous is None or self._slot.engine is not None:
            return
        try:
            await self._slot.put(previous, self._loading)
        except WebUIError as error:
            log.error("%s could not be brought back: %s", previous.name, error.message)
            self._slot.held = None

    async def _unload(self) -> None:
        async with self.turn:
            ticket = self._line.join(alone=True)
            try:
                await self._line.reach(ticket)
                self._board.post(state="swapping", target=None, progress=None)
                await self._line.idle(self._drain_seconds)
                try:
                    await self._slot.clear()
                finally:  # whatever went wrong, there is nothing left to lend
                    self._slot.held = None
                    self._line.cut()
                    self._gone("empty", None)
            finally:
                self._line.leave(ticket)

    def _loaded(self, spec: CheckpointSpec, report: SwapReport) -> None:
        assert self._slot.engine is not None, "a load that succeeded left an engine"
        info = self._slot.engine.info
        log.info(
            "loaded %s on %s in %.1f s: kernel %s, context %d, %d bytes freed, %d taken",
            *(spec.name, info.device, report.seconds, info.kernel, info.max_context),
            *(report.freed, report.loaded),
        )
        self._tally.loads["loaded"] += 1
        self._board.pending.remove(spec.name)
        self._board.settle(name=spec.name, info=info, error=None, error_code=None, last_swap=report)

    def _failed(self, spec: CheckpointSpec, error: WebUIError) -> None:
        self._tally.loads["cancelled" if isinstance(error, Conflict) else "failed"] += 1
        self._board.pending.remove(spec.name)
        reason = {"error": error.message, "error_code": error.code}
        if self._slot.engine is not None:
            self._board.settle(**reason)
        elif self._slot.held is not None:  # it died meanwhile; its repair is under way
            self._board.post(state="loading", target=self._slot.held.name, progress=None, **reason)
        elif isinstance(error, Conflict):
            self._gone("empty", error)
        else:
            self._gone("failed", error)

    def _gone(self, state: str, error: WebUIError | None) -> None:
        self._board.post(
            state=state,
            name=None,
            target=None,
            info=None,
            progress=None,
            error=error.message if error else None,
            error_code=error.code if error else None,
            notes=(),
        )

    def _downloading(self, progress: Progress) -> None:
        self._board.post(state="downloading", progress=progress)

    def _loading(self, progress: Progress) -> None:
        self._board.post(progress=progress)


def load_failure(spec: CheckpointSpec, error: Exception) -> WebUIError:
    """Why the load of `spec` failed, in words that are true of a load."""
    if isinstance(error, EngineCrashed):
        return EngineCrashed(
            f"The engine process ended while {spec.title} was being loaded; the machine may be "
            "short of memory. Load it again, or a smaller one."
        )
    if isinstance(error, WebUIError):
        return error
    log.error("a load ended with an error nobody foresaw", exc_info=error)
    return WebUIError(
        f"{spec.title} could not be loaded because of an internal error; the log has the details. "
        "Try another checkpoint."
    )
