"""The worker's side of the pipe: whatever computes, the others are answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from qwen_webui.engines import serving
from qwen_webui.engines.cancelling import Ticket
from qwen_webui.engines.progress import Emit
from qwen_webui.engines.wire import Call, Command, Done, Failed, ReadMemory, Report, Unload, Work
from qwen_webui.types import Finished, GenerationRequest, LoadPlan, MemoryUse, Usage
from tests.engines.asking import request
from tests.engines.decode.asking import demo

WAIT = 20


class Busy:
    """A model whose answers come when they are cancelled."""

    info = None

    def __init__(self) -> None:
        self.begun: SimpleQueue[str] = SimpleQueue()
        self.ended: list[str] = []
        self.unloaded = threading.Event()

    def generate(self, asked: GenerationRequest, ticket: Ticket, emit: Emit) -> None:
        self.begun.put(asked.id)
        ticket._cancelled.wait(WAIT)
        self.ended.append(asked.id)
        emit(Finished("stop", Usage(1, 1, 0.1, 0.1)))

    def unload(self) -> None:
        self.unloaded.set()


class Parent:
    """Both ends of a pipe, in one process."""

    def __init__(self) -> None:
        self.commands: SimpleQueue[Command | None] = SimpleQueue()
        self.reports: SimpleQueue[Report] = SimpleQueue()
        self.receive = self.commands.get
        self.send = self.reports.put
        self._number = 0

    def ask(self, work: Work) -> int:
        self._number += 1
        self.commands.put(Call(self._number, work))
        return self._number

    def answered(self, number: int) -> Done | Failed:
        while True:
            report = self.reports.get(timeout=WAIT)
            if isinstance(report, Done | Failed) and report.number == number:
                return report


@pytest.fixture
def parent() -> Iterator[Parent]:
    pipe = Parent()
    worker: Any = serving.Worker(pipe)  # type: ignore[arg-type]
    thread = threading.Thread(target=worker.serve)
    thread.start()
    yield pipe
    pipe.commands.put(None)
    thread.join(WAIT)
    assert not thread.is_alive()


@pytest.mark.parametrize("computing", [1, 64, 70])
def test_memory_and_unload_do_not_wait_behind_answers(
    parent: Parent, monkeypatch: pytest.MonkeyPatch, computing: int
) -> None:
    busy = Busy()
    monkeypatch.setattr(serving, "load_model", lambda *_: busy)
    assert isinstance(parent.answered(parent.ask(demo())), Done)
    for _ in range(computing):
        parent.ask(request())
    for _ in range(min(computing, 64)):
        busy.begun.get(timeout=WAIT)
    told = parent.answered(parent.ask(ReadMemory("cpu")))
    assert isinstance(told, Done) and isinstance(told.value, MemoryUse)
    assert not busy.ended and not busy.unloaded.is_set()
    assert parent.answered(parent.ask(Unload())) == Done(computing + 3, None)
    assert busy.unloaded.is_set() and len(busy.ended) == computing


def test_an_unload_waits_for_the_load_before_it(
    parent: Parent, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, begun, go_on = Busy(), threading.Event(), threading.Event()

    def slow(_plan: LoadPlan, _emit: Emit, _cache: object) -> Busy:
        begun.set()
        assert go_on.wait(WAIT)
        return busy

    monkeypatch.setattr(serving, "load_model", slow)
    load = parent.ask(demo())
    assert begun.wait(WAIT)
    unload = parent.ask(Unload())
    told = parent.answered(parent.ask(ReadMemory("cpu")))
    assert isinstance(told, Done)
    go_on.set()
    assert [parent.answered(number) for number in (load, unload)] == [
        Done(load, None),
        Done(unload, None),
    ]
    assert busy.unloaded.is_set(), "the load would have outlasted the unload"
