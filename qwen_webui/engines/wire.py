"""What crosses the pipe between the web process and the engine worker, and its framing.

Each frame is a length and a pickle of one value below. Pickle is safe here: both ends are this
program, joined by an unnamed socket that nobody else can open.
"""

from __future__ import annotations

import pickle
import socket
import struct
import threading
from asyncio import StreamReader
from dataclasses import dataclass

from qwen_webui.errors import WebUIError
from qwen_webui.types import (
    Device,
    DistributionRequest,
    Distributions,
    EngineInfo,
    GenerationEvent,
    GenerationRequest,
    LoadPlan,
    MemoryUse,
)

LENGTH = struct.Struct(">Q")


@dataclass(frozen=True)
class Unload:
    """Free the checkpoint. Answered with None."""


@dataclass(frozen=True)
class ReadMemory:
    """Measure now. Answered with MemoryUse; `device` counts while nothing is loaded."""

    device: Device


@dataclass(frozen=True)
class MeasureCopies:
    """Copy within the memory of `device`. Answered with bytes a second."""

    device: Device


@dataclass(frozen=True)
class Score:
    """Answered with the log-probabilities, a list of floats."""

    token_ids: tuple[int, ...]


Work = (
    LoadPlan | GenerationRequest | Score | DistributionRequest | Unload | ReadMemory | MeasureCopies
)
Answer = EngineInfo | MemoryUse | Distributions | list[float] | float | None
# Computes, so an unload or a swap ends it.
COMPUTING = GenerationRequest | Score | DistributionRequest


@dataclass(frozen=True)
class Call:
    """To the worker: do `work`. `number` tells calls apart."""

    number: int
    work: Work


@dataclass(frozen=True)
class Cancel:
    """To the worker: nobody waits for that call any more. Has no answer."""

    number: int


@dataclass(frozen=True)
class Event:
    """From the worker: one of several results of a load (Progress) or a generation."""

    number: int
    event: GenerationEvent


@dataclass(frozen=True)
class Done:
    """From the worker: the last result of a call."""

    number: int
    value: Answer


@dataclass(frozen=True)
class Failed:
    """From the worker: the call ended with this error."""

    number: int
    error: WebUIError


@dataclass(frozen=True)
class Beat:
    """From the worker, every few seconds: the process lives."""


Command = Call | Cancel
Report = Event | Done | Failed | Beat


def framed(value: Command | Report) -> bytes:
    """`value` as it goes through the pipe."""
    body = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(body)) + body


async def read_report(stream: StreamReader) -> Report:
    """The next report. Raises asyncio.IncompleteReadError at the end of the stream."""
    (length,) = LENGTH.unpack(await stream.readexactly(LENGTH.size))
    value = pickle.loads(await stream.readexactly(length))
    assert isinstance(value, Report), f"{type(value).__name__} is no report"
    return value


class Pipe:
    """The worker's end: blocking, with sends from any thread."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._reader = end.makefile("rb")
        self._sending = threading.Lock()

    def send(self, report: Report) -> None:
        """Raises OSError when the parent is gone."""
        data = framed(report)
        with self._sending:
            self._end.sendall(data)

    def receive(self) -> Command | None:
        """The next command, or None when the parent is gone."""
        head = self._reader.read(LENGTH.size)
        if len(head) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack(head)
        body = self._reader.read(length)
        if len(body) < length:
            return None
        value = pickle.loads(body)
        assert isinstance(value, Command), f"{type(value).__name__} is no command"
        return value
