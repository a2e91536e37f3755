"""ModelManager: the one door to the model for the page, the API and the command line.

Lends the engine in a fair line (line.py), swaps it (swap.py), repairs it (recovery.py), and says
what it does (board.py). Knows nothing of prompts, personas or HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    aclosing,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from typing import Literal

from qwen_webui.checkpoints import Library
from qwen_webui.engines.base import Engine, EngineLoader
from qwen_webui.errors import (
    DeviceUnusable,
    EngineCrashed,
    EngineTimeout,
    ModelNotReady,
    ModelSwitching,
    ShuttingDown,
    WebUIError,
)
from qwen_webui.models.board import Board
from qwen_webui.models.hold import Hold
from qwen_webui.models.line import Line, Ticket
from qwen_webui.models.recovery import Recovery
from qwen_webui.models.reserved import Parts, Reserved
from qwen_webui.models.slot import EngineSlot
from qwen_webui.models.swap import Swapper
from qwen_webui.models.tally import Count, Served, Tally
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import (
    FEW_AT_ONCE,
    CheckpointSpec,
    Dtype,
    EnginePath,
    Finished,
    GenerationEvent,
    GenerationRequest,
    MemoryForecast,
    MemoryUse,
    ModelStatus,
    Queued,
    SwapReport,
)

SHUTTING_DOWN = "The server is shutting down. Send the request again in a moment."
NO_CARD = MemoryUse("cuda", "no card", 0, 0, 0)
RETRY_AFTER_LOAD = 5  # seconds; a load's end is not known beforehand
CUT_SECONDS = 2.0  # for the engine to let go of what is cut at the end; it may hang


class ModelManager:
    """Holds at most one engine at a time.

    A request while a checkpoint is swapped or its process is replaced waits in line, because
    something that serves will be there; before the first load, or after a failed one, it is
    refused with ModelNotReady.
    """

    def __init__(
        self,
        library: Library,
        loader: EngineLoader,
        *,
        device: Literal["auto", "cuda", "cpu"],
        dtype: Literal["auto"] | Dtype,
        max_context: int | None,
        engine_path: EnginePath = "auto",
        host_cache: int = 0,
        max_running: int | None,
        max_waiting: int,
        queue_timeout: float,
        drain_seconds: float,
    ) -> None:
        self._loader = loader
        self._library = library
        self._board = Board()
        self._wanted_running = max_running
        self._line = Line(lambda: self.at_once, max_waiting, queue_timeout, self._counted)
        wanted = None if dtype == "auto" else dtype
        self._slot = EngineSlot(loader, device, wanted, max_context, engine_path, host_cache)
        self.tally = Tally()
        self._swapper = Swapper(
            library, self._slot, self._line, self._board, drain_seconds, self.tally
        )
        self._recovery = Recovery(self._slot, self._line, self._board)
        parts = Parts(library, self._slot, self._line, self._board, self._recovery, self.tally)
        self._hold = Hold(parts, self._swapper.turn, drain_seconds)
        self._stopping = False

    def status(self) -> ModelStatus:
        """The state now."""
        return self._board.now

    @property
    def pid(self) -> int | None:
        """Of the process that computes, where it is one of ours and lives."""
        return self._loader.pid

    async def changed(self, seen: ModelStatus) -> ModelStatus:
        """The state, as soon as it is another than `seen`."""
        return await self._board.changed(seen)

    @property
    def at_once(self) -> int:
        """Answers computed at once: as was asked for, else what the loaded engine carries."""
        engine = self._slot.engine
        return self._wanted_running or (engine.info.at_once if engine else FEW_AT_ONCE)

    def tokenizer(self) -> ChatTokenizer:
        """Of the checkpoint that serves or is about to; raises ModelNotReady without one."""
        serving = self._hold.serving
        if serving is None:
            raise self._not_ready()
        return serving.tokenizer

    def context(self) -> int | None:
        """Tokens that the checkpoint that serves or is about to takes; None without one."""
        info = self.status().info
        return info.max_context if info is not None else None

    async def memory(self) -> MemoryUse:
        """Measured now; nothing at all of a card that was asked for and is not there."""
        try:
            return await self._slot.memory()
        except DeviceUnusable:
            return NO_CARD

    async def room(self) -> MemoryUse:
        """As `memory`, with what the loaded checkpoint would give back counted as free. Raises
        DeviceUnusable."""
        return await self._slot.room()

    def find(self, name: str) -> CheckpointSpec:
        """The checkpoint of that name or hub id. Raises NotFound."""
        return self._library.get(name)

    async def forecasts(self) -> tuple[tuple[CheckpointSpec, MemoryForecast], ...]:
        """Every known checkpoint with what it would take, were the loaded one unloaded."""
        try:
            room = await self._slot.room()
        except DeviceUnusable:
            room = NO_CARD  # nothing fits; why is what a load says
        return tuple((spec, self._slot.forecast(spec, room)) for spec in self._library.all())

    async def load(self, name: str, *, wait_turn: bool = True) -> SwapReport:
        """Load `name` and wait for it; a caller who goes away does not stop it. Raises the reason
        of a failure (the checkpoint before is loaded again then), NotFound, and Conflict when
        another load is under way and `wait_turn` is False, or when it was cancelled."""
        return await asyncio.shield(self._swapper.begin(name, wait_turn=wait_turn))

    def start_load(self, name: str, *, notes: tuple[str, ...] = (), wait_turn: bool = True) -> None:
        """Begin to load `name`; the state says so at once and tells how it ended. `notes` are
        what the user should know of the choice. Raises NotFound and Conflict as `load`."""
        self._swapper.begin(name, notes, wait_turn=wait_turn)

    def fail(self, error: WebUIError) -> None:
        """Show why nothing can be served, when it never came to a load."""
        self._board.post(state="failed", error=error.message, error_code=error.code)

    async def cancel_load(self) -> None:
        """Give up the load under way and wait until the checkpoint before is back."""
        task = self._swapper.cancel()
        if task is not None:
            await asyncio.wait((task,))

    async def unload(self) -> None:
        """Drain, then unload; nothing is served afterwards."""
        await asyncio.shield(self._swapper.unload())

    def reserved(self, reason: str) -> AbstractAsyncContextManager[Reserved]:
        """The model for one job that loads several checkpoints; see Hold.reserved."""
        return self._hold.reserved(reason)

    @asynccontextmanager
    async def lease(self, queued: Callable[[int], None] | None = None) -> AsyncIterator[Engine]:
        """The engine, shared with at most `at_once` - 1 others; `queued` is told the place in
        line whenever it changes. Raises Overloaded, QueueTimeout, ModelNotReady, ShuttingDown."""
        ticket = self._join()
        try:
            while place := await self._line.step(ticket):
                if queued is not None:
                    queued(place)
            engine = self._lend()
            with self._watched(engine):
                yield engine
        finally:
            self._line.leave(ticket)

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        """Queued* and then the engine's events; closing the generator cancels wherever it is.
        Raises what `lease` and the engine raise; a dead engine is replaced in the background."""
        count = self.tally.begin()
        try:
            async with aclosing(self._stream(request, count)) as events:
                async for event in events:
                    count.saw(event)
                    yield event
        except Exception as error:
            count.failed(error)
            raise
        finally:
            count.end()

    async def drain(self, seconds: float) -> None:
        """Refuse what is new and what waits, let what runs finish for `seconds`, then cut it."""
        self._stopping = True
        self._line.close(ShuttingDown(SHUTTING_DOWN, retry_after=RETRY_AFTER_LOAD))
        await self._recovery.stop()  # first: nothing that dies from now on is repaired
        await self._swapper.stop()
        await self._hold.stop()
        if not await self._line.idle(seconds) and self._slot.engine is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CUT_SECONDS):
                    await self._slot.engine.close()
            self._line.cut()

    async def close(self) -> None:
        """End everything now. Closing twice is harmless."""
        await self.drain(0)
        await self._loader.close()

    async def _stream(
        self, request: GenerationRequest, count: Count
    ) -> AsyncGenerator[GenerationEvent, None]:
        ticket = self._join()
        try:
            while place := await self._line.step(ticket):
                yield Queued(place, self.status().held_for)
            engine = self._lend()
            count.served = Served.of(engine.info)
            with self._watched(engine):
                async with aclosing(engine.stream(request)) as events:
                    async for event in events:
                        if isinstance(event, Finished):
                            self._recovery.worked()
                        yield event
        finally:
            self._line.leave(ticket)

    def _join(self) -> Ticket:
        if self._board.now.info is None and not self._stopping:
            raise self._not_ready()
        return self._line.join()

    def _lend(self) -> Engine:
        if self._slot.engine is None:
            raise self._not_ready()
        return self._slot.engine

    @contextmanager
    def _watched(self, engine: Engine) -> Iterator[None]:
        """Notice a death while `engine` is lent, and name the reason of a cut."""
        try:
            yield
        except (EngineCrashed, EngineTimeout, DeviceUnusable) as error:
            self._recovery.crashed(engine, error)
            raise
        except ModelSwitching as error:
            if self._stopping:
                raise ShuttingDown(SHUTTING_DOWN, retry_after=RETRY_AFTER_LOAD) from error
            raise

    def _not_ready(self) -> ModelNotReady:
        status = self.status()
        if status.held_for is not None:
            message = f"{status.held_for} No model was loaded before. Try again when it is done."
        elif status.state == "failed":
            message = f"No model is loaded: {status.error}"
        elif status.target is not None:
            message = f"{status.target} is being loaded. Try again when it is ready."
        else:
            message = "No model is loaded. Load one on the page or with POST /api/models/load."
        return ModelNotReady(message, retry_after=RETRY_AFTER_LOAD)

    def _counted(self) -> None:
        self._board.post(running=self._line.running, waiting=self._line.waiting)
