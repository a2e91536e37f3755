"""What a job may do with the model that is kept for it: load in turn, ask, measure, tell.

Whose turn it is, and what is loaded afterwards, is hold.py's.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from qwen_webui.checkpoints import Library
from qwen_webui.errors import (
    DeviceUnusable,
    EngineCrashed,
    EngineTimeout,
    ModelNotReady,
    WebUIError,
)
from qwen_webui.models.board import Board
from qwen_webui.models.line import Line
from qwen_webui.models.recovery import Recovery
from qwen_webui.models.slot import EngineSlot, Prepared
from qwen_webui.models.swap import load_failure
from qwen_webui.models.tally import Served, Tally
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import (
    CheckpointSpec,
    EngineInfo,
    Finished,
    GenerationEvent,
    GenerationRequest,
    MemoryUse,
    Progress,
)


@dataclass(frozen=True)
class Parts:
    """What the manager is made of, as far as a job's loads and answers need it."""

    library: Library
    slot: EngineSlot
    line: Line
    board: Board
    recovery: Recovery
    tally: Tally


class Reserved:
    """What a job may do with the model that is kept for it. Of use inside `reserved` alone."""

    def __init__(self, parts: Parts, previous: Prepared | None) -> None:
        self._parts = parts
        self._known = {previous.name: previous} if previous is not None else {}
        self.previous = previous
        self.lost: WebUIError | None = None

    @property
    def tokenizer(self) -> ChatTokenizer:
        """Of the checkpoint that the job loaded last."""
        held = self._parts.slot.held
        assert held is not None, "a job loads before it asks"
        return held.tokenizer

    async def load(self, name: str) -> EngineInfo:
        """Have `name` loaded; at once when it is already. Raises NotFound, DoesNotFit, and the
        other reasons of a load that failed, after which nothing is loaded."""
        slot, board = self._parts.slot, self._parts.board
        if slot.held is None or slot.held.name != name or slot.engine is None:
            spec = self._parts.library.get(name)
            try:
                await self._put(spec)
            except Exception as error:
                reason = load_failure(spec, error)
                raise reason from (None if reason is error else error)
        board.post(target=None, progress=None)
        assert slot.engine is not None, "a load that succeeded left an engine"
        return slot.engine.info

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        """The loaded engine's events. Raises what the engine raises; after a death `load` brings
        the checkpoint back."""
        engine = self._parts.slot.engine
        if engine is None:
            raise ModelNotReady("The checkpoint's process ended. Load it again.")
        count = self._parts.tally.begin()
        count.served = Served.of(engine.info)
        try:
            async with aclosing(engine.stream(request)) as events:
                async for event in events:
                    count.saw(event)
                    if isinstance(event, Finished):
                        self._parts.recovery.worked()
                    yield event
        except (EngineCrashed, EngineTimeout, DeviceUnusable) as error:
            count.failed(error)
            self._parts.recovery.crashed(engine, error)
            raise
        except WebUIError as error:
            count.failed(error)
            raise
        finally:
            count.end()

    async def memory(self) -> MemoryUse:
        """Measured now."""
        return await self._parts.slot.memory()

    def tell(self, done: int, total: int) -> None:
        """Say to those who wait how far the job is, in checkpoints."""
        told = Progress("comparing", done, total, "checkpoints")
        self._parts.board.post(held_progress=told)

    async def _put(self, spec: CheckpointSpec) -> None:
        slot = self._parts.slot
        wanted = self._known.get(spec.name) or await self._prepared(spec)
        self._parts.board.post(target=spec.name, progress=None)
        slot.held = None  # a load that fails or is cut off leaves nothing to repair
        await slot.clear()
        self._parts.line.cut()
        await slot.put(wanted, self._loading)
        self._known[spec.name] = wanted

    async def _prepared(self, spec: CheckpointSpec) -> Prepared:
        slot, library = self._parts.slot, self._parts.library
        need = await slot.admit(spec)
        self._parts.board.post(target=spec.name)
        folder = await library.fetch(spec, self._loading)
        here = library.get(spec.name)
        if here != spec:  # now its files say what the catalogue could not
            need = await slot.admit(here)
        return await slot.prepare(need, here, folder)

    def _loading(self, progress: Progress) -> None:
        self._parts.board.post(progress=progress)
