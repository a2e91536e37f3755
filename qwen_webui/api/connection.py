"""The HTTP connection with three patience limits that uvicorn does not have.

A request's head must arrive within seconds, a reader that takes nothing is dropped, and so is a
sender who goes on after the answer. Knows nothing of what is asked.
"""

from __future__ import annotations

import asyncio
import json

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from qwen_webui.errors import InvalidRequest

HEAD_SECONDS = 8.0  # from the first byte of a request, or the connection, to the end of its head
WRITE_SECONDS = 30.0  # without the reader taking anything, while 64 kB are waiting for it


class GuardedProtocol(H11Protocol):
    """Aborts connections that take too long; whoever serves them sees a disconnect."""

    _head: asyncio.TimerHandle | None = None
    _write: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._head = self.loop.call_later(HEAD_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._head = _disarm(self._head)
        self._write = _disarm(self._write)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head = _disarm(self._head)
        elif self._head is None:
            self._head = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """See H11Protocol: what is no HTTP gets an error of our shape too."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        error = InvalidRequest("This is no HTTP request that can be read.")
        body = json.dumps(error.as_dict()).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        super().pause_writing()
        self._write = _disarm(self._write)
        self._write = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._write = _disarm(self._write)
        super().resume_writing()


def _disarm(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Cancel `timer`; what is armed afterwards: nothing."""
    if timer is not None:
        timer.cancel()
    return None
