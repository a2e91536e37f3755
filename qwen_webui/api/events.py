"""Server-sent events of one answer, and what to do when the client has gone.

The status is decided by the first event, so an early refusal is a plain error response. Bounded
memory for a slow reader is the connection's matter (connection.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from qwen_webui.api.problems import internal_error
from qwen_webui.errors import WebUIError

log = logging.getLogger(__name__)
T = TypeVar("T")

CLIENT_GONE = 499  # as nginx logs it; nobody receives it
PING_SECONDS = 15.0  # proxies give up on a silent stream after 60


@dataclass(frozen=True)
class Event:
    """One event; without a name it is what a plain reader of `data:` lines expects. `data` that is
    text already has no line ends in it."""

    data: BaseModel | str
    name: str | None = None

    def encode(self) -> bytes:
        """As it goes over the wire. JSON has no line ends in it, so one data line is enough."""
        head = f"event: {self.name}\n" if self.name else ""
        text = self.data if isinstance(self.data, str) else self.data.model_dump_json()
        return f"{head}data: {text}\n\n".encode()


class ErrorOut(BaseModel):
    """The one shape of an error, as an event."""

    error: dict[str, str | None]


class EventStream(Response):
    """Sends events as they come, a comment every 15 s of silence, an error as the last event,
    which is called `error_name`."""

    media_type = "text/event-stream"

    def __init__(
        self, events: AsyncGenerator[Event, None], *, error_name: str | None = "error"
    ) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._error_name = error_name
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See Response. Raises the generator's error if that comes before any event."""
        await while_connected(receive, self._produce(send))

    async def _produce(self, send: Send) -> None:
        async with aclosing(self._events) as events:
            while True:
                step = asyncio.ensure_future(_next(events))
                try:
                    await self._ping_until(step, send)
                    event = step.result()
                except WebUIError as error:
                    await self._fail(send, error)
                    return
                except Exception:
                    log.exception("an answer failed")
                    await self._fail(send, internal_error())
                    return
                finally:
                    # A generator cannot be closed while a step of it runs.
                    step.cancel()
                    await asyncio.gather(step, return_exceptions=True)
                if event is None:
                    break
                await self._send(send, event.encode())
            await self._send(send, b"", last=True)

    async def _ping_until(self, step: asyncio.Future[Event | None], send: Send) -> None:
        while not (await asyncio.wait((step,), timeout=PING_SECONDS))[0]:
            await self._send(send, b": ping\n\n")

    async def _fail(self, send: Send, error: WebUIError) -> None:
        if not self._started:
            raise error
        told = Event(ErrorOut(**error.as_dict()), self._error_name)
        await self._send(send, told.encode(), last=True)

    async def _send(self, send: Send, body: bytes, *, last: bool = False) -> None:
        if not self._started:
            self._started = True
            start = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **start})
        await send({"type": "http.response.body", "body": body, "more_body": not last})


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`, which is cancelled, with None, as soon as the client has gone.

    The request's body must have been read.
    """
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _next(events: AsyncGenerator[Event, None]) -> Event | None:
    return await anext(events, None)
