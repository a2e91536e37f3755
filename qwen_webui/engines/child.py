"""One worker process seen from the web process: starts it, calls it, ends it. No torch here.

Calls are told apart by number and may overlap. When the process dies every open call raises
EngineCrashed; when it gives no sign of life for `stall_seconds` it is killed.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from qwen_webui.engines.wire import (
    COMPUTING,
    Answer,
    Call,
    Cancel,
    Done,
    Event,
    Failed,
    Report,
    Work,
    framed,
    read_report,
)
from qwen_webui.errors import EngineCrashed, EngineTimeout, WebUIError
from qwen_webui.types import Finished, GenerationEvent

PACKAGE = "qwen_webui.engines.worker"
# Nothing may be compiled or fetched while people wait, and nothing reported to anyone.
ENVIRONMENT = {
    "TORCHDYNAMO_DISABLE": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GPTQMODEL_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
}
CRASHED = "The engine process ended unexpectedly and is being restarted. Send the request again."

log = logging.getLogger(__name__)


class OpenCall:
    """One call under way: its reports arrive in `reports`, in order."""

    def __init__(self, child: Child, number: int, work: Work) -> None:
        self.number = number
        self.work = work
        self.reports: asyncio.Queue[Event | Done | Failed] = asyncio.Queue()
        self._child = child
        self._finished = False

    async def next(self, *, beats_count: bool) -> GenerationEvent | Done:
        """The next event, or Done. Raises what the worker, or the watchdog, reports.

        `beats_count` says whether a sign of life without a result keeps the watchdog quiet.
        """
        while True:
            since = self._child.heard if beats_count else time.monotonic()
            left = max(0.0, since + self._child.stall_seconds - time.monotonic())
            try:
                # Not wait_for: before Python 3.12 it loses a cancel that meets a report.
                async with asyncio.timeout(left):
                    report = await self.reports.get()
                break
            except TimeoutError:
                if beats_count and self._child.heard > since:
                    continue
                self._child.kill()
                raise EngineTimeout(
                    f"The engine gave no sign for {self._child.stall_seconds:g} seconds and was "
                    "ended. Send the request again in a moment."
                ) from None
        if isinstance(report, Event):
            self._finished = isinstance(report.event, Finished)
            return report.event
        self._finished = True
        if isinstance(report, Failed):
            raise report.error
        return report

    def close(self) -> None:
        """Let go; the worker is told at once if it is still at it."""
        self._child.forget(self, cancel=not self._finished)


class Child:
    """A running worker."""

    def __init__(self, process: Process, pipe: asyncio.StreamWriter, stall_seconds: float) -> None:
        self.stall_seconds = stall_seconds
        self.heard = time.monotonic()
        self._process = process
        self._pipe = pipe
        self._numbers = itertools.count(1)
        self._calls: dict[int, OpenCall] = {}
        self._ended = asyncio.Event()
        self._closing = False
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    @classmethod
    async def start(cls, stall_seconds: float) -> Child:
        """A new process; returns before it has imported anything heavy."""
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", PACKAGE, str(theirs.fileno()), str(os.getpid())),
                pass_fds=(theirs.fileno(),),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=STDOUT,
                env={**os.environ, **ENVIRONMENT, "PYTHONPATH": _search_path()},
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        child = cls(process, writer, stall_seconds)
        assert process.stdout is not None, "asked for as a pipe"
        child._tasks = (
            asyncio.create_task(child._listen(reader), name="engine-reports"),
            asyncio.create_task(child._log(process.stdout), name="engine-log"),
        )
        return child

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still answers."""
        return not self._ended.is_set()

    async def ended(self) -> None:
        """Returns once it answers no more."""
        await self._ended.wait()

    def open(self, work: Work) -> OpenCall:
        """Begin a call."""
        if not self.alive:
            raise EngineCrashed(CRASHED)
        call = OpenCall(self, next(self._numbers), work)
        self._calls[call.number] = call
        self._pipe.write(framed(Call(call.number, work)))
        return call

    async def ask(
        self,
        work: Work,
        report: Callable[[GenerationEvent], None] | None = None,
        *,
        beats_count: bool = False,
    ) -> Answer:
        """A call with one answer; `report` gets the events before it."""
        call = self.open(work)
        try:
            while not isinstance(found := await call.next(beats_count=beats_count), Done):
                if report is not None:
                    report(found)
            return found.value
        finally:
            call.close()

    def end_calls(self, error: WebUIError) -> None:
        """Everything being computed raises `error`; the worker is told to stop it."""
        for call in tuple(self._calls.values()):
            if not isinstance(call.work, COMPUTING):
                continue
            call.reports.put_nowait(Failed(call.number, error))
            self.forget(call, cancel=True)

    def forget(self, call: OpenCall, *, cancel: bool) -> None:
        """No more reports for `call`."""
        if self._calls.pop(call.number, None) is not None and cancel and self.alive:
            self._pipe.write(framed(Cancel(call.number)))

    def kill(self) -> None:
        """End the process now, whatever it is doing."""
        if self._process.returncode is None:
            # Not Process.kill(): that one looks for the exit status first and takes it away from
            # asyncio when the process has just died by itself.
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Kill it and wait until it is gone. Harmless twice."""
        self._closing |= self.alive  # one that died by itself still has its end logged
        self.kill()
        await self._process.wait()
        await asyncio.gather(*self._tasks)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                self._receive(await read_report(reader))
        except (asyncio.IncompleteReadError, ConnectionError):
            log.debug("the engine process %d closed its pipe", self.pid)
        finally:
            self._ended.set()
            self.kill()
            self._pipe.close()
            for call in self._calls.values():
                call.reports.put_nowait(Failed(call.number, EngineCrashed(CRASHED)))
            self._calls.clear()
        with suppress(ConnectionError):
            await self._pipe.wait_closed()
        await self._process.wait()

    async def _log(self, stream: asyncio.StreamReader) -> None:
        """What the worker and its libraries print; all of it once more if the worker dies."""
        last: deque[str] = deque(maxlen=40)
        while line := await _line(stream):
            text = line.decode("utf-8", "replace").rstrip()
            last.append(text)
            own = text.startswith(("WARNING ", "ERROR ", "CRITICAL "))
            log.log(logging.WARNING if own else logging.DEBUG, "engine %d: %s", self.pid, text)
        code = await self._process.wait()
        if not self._closing:
            printed = "\n".join(last)
            log.error("the engine process %d ended (%d). It said:\n%s", self.pid, code, printed)

    def _receive(self, report: Report) -> None:
        self.heard = time.monotonic()
        if isinstance(report, Event | Done | Failed):
            call = self._calls.get(report.number)
            if call is not None:
                call.reports.put_nowait(report)


def _search_path() -> str:
    """PYTHONPATH for the worker: this package is found wherever the program was started."""
    found = str(Path(__file__).resolve().parents[2])
    before = os.environ.get("PYTHONPATH")
    return f"{found}{os.pathsep}{before}" if before else found


async def _line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readline()
    except ValueError:  # longer than the reader's limit; its beginning was dropped
        return b"(a line too long to show)\n"
