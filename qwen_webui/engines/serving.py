"""The worker's side of the pipe: commands in, answers and events out. Imports torch.

The thread that calls `serve` reads commands and hands each to a thread of its own, so cancel,
memory and liveness are answered while others compute. Computes nothing itself.
"""

from __future__ import annotations

import logging
import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor

from qwen_webui.engines.cancelling import Ticket
from qwen_webui.engines.decode.host_cache import HostCache
from qwen_webui.engines.device import give_back, measured
from qwen_webui.engines.failures import translated
from qwen_webui.engines.memory_speed import copy_rate
from qwen_webui.engines.paths import AnyModel, load_model
from qwen_webui.engines.wire import (
    COMPUTING,
    Answer,
    Call,
    Cancel,
    Done,
    Event,
    Failed,
    MeasureCopies,
    Pipe,
    ReadMemory,
    Score,
    Unload,
    Work,
)
from qwen_webui.errors import EngineCrashed, ModelNotReady, OutOfMemory
from qwen_webui.types import DistributionRequest, GenerationEvent, GenerationRequest, LoadPlan

# As many as --max-running may be, and those few that are only asked now and then.
COMPUTE_AT_ONCE = 64
OTHERS_AT_ONCE = 8
# How long a thread keeps the interpreter when others want it. A step may take 2 ms: after Python's
# own 5, more of what constrained answers may say next comes too late for it (docs/log.md).
SWITCH_SECONDS = 0.0005

log = logging.getLogger(__name__)


class Worker:
    """Serves one parent over one pipe. Holds one model at most."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        # Threads are kept between requests: each brings its own team of OpenMP threads.
        self._pool = ThreadPoolExecutor(max_workers=COMPUTE_AT_ONCE, thread_name_prefix="call")
        # Loads, unloads and measurements never wait behind what computes.
        self._others = ThreadPoolExecutor(max_workers=OTHERS_AT_ONCE, thread_name_prefix="other")
        self._tickets: dict[int, Ticket] = {}
        self._running: set[Future[None]] = set()
        self._model: AnyModel | None = None
        self._cache = HostCache()

    def serve(self) -> None:
        """Until the parent closes the pipe."""
        sys.setswitchinterval(SWITCH_SECONDS)
        while (command := self._pipe.receive()) is not None:
            match command:
                case Cancel(number):
                    if (ticket := self._tickets.get(number)) is not None:
                        ticket.cancel()
                case Call(number, work):
                    self._begin(number, work)

    def _begin(self, number: int, work: Work) -> None:
        ticket = self._tickets[number] = Ticket()
        pool = self._pool if isinstance(work, COMPUTING) else self._others
        future = pool.submit(self._carry_out, number, work, ticket)
        # A load cannot be stopped, but what it loads may not outlast an unload.
        if isinstance(work, COMPUTING | LoadPlan):
            self._running.add(future)
            future.add_done_callback(self._running.discard)

    def _carry_out(self, number: int, work: Work, ticket: Ticket) -> None:
        def emit(event: GenerationEvent) -> None:
            self._pipe.send(Event(number, event))

        try:
            value: Answer = None
            match work:
                case LoadPlan():
                    assert self._model is None, "the checkpoint before must be unloaded first"
                    self._model = load_model(work, emit, self._cache)
                    value = self._model.info
                case GenerationRequest():
                    self._loaded().generate(work, ticket, emit)
                case Score(token_ids):
                    value = self._loaded().score(token_ids, ticket)
                case DistributionRequest():
                    value = self._loaded().distributions(work, ticket)
                case Unload():
                    self._unload()
                case ReadMemory(device):
                    value = measured(device)
                case MeasureCopies(device):
                    value = copy_rate(device)
        except Exception as error:
            # The one place where foreign errors become ours; the log keeps the whole story.
            if not ticket.cancelled:
                log.info("a call failed", exc_info=error)
            failure = translated(error)
        else:
            self._pipe.send(Done(number, value))
            return
        finally:
            self._tickets.pop(number, None)
        # Outside `except`: inside it the traceback would still hold what filled the memory.
        if isinstance(failure, OutOfMemory):
            give_back()
        self._pipe.send(Failed(number, failure))
        if isinstance(failure, EngineCrashed):
            os._exit(1)

    def _loaded(self) -> AnyModel:
        if self._model is None:
            raise ModelNotReady("No model is loaded. Load one first.")
        return self._model

    def _unload(self) -> None:
        """Stop what runs, wait for it, free the memory."""
        for ticket in tuple(self._tickets.values()):
            ticket.cancel()
        for future in tuple(self._running):
            future.exception()
        self._cache.settle(stop=True)
        if self._model is not None:
            model, self._model = self._model, None
            model.unload()
