"""A small reverse proxy for tests: takes a prefix away, may speak https, and may tell of it.

One request a connection. It rewrites the Host, as nginx does when nobody tells it not to, and
touches nothing of what comes back: a page that needs more than that fails behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Mapping

HEAD_BYTES = 64 << 10
ELSEWHERE = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Proxy:
    """Serves http(s)://localhost:PORT/PREFIX/ from the server at `upstream` until `stop`."""

    def __init__(
        self,
        upstream: int,
        prefix: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._upstream, self._prefix, self._tls = upstream, prefix, tls
        self._headers = dict(headers or {})
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.port = 0
        self.outside: list[str] = []  # what was asked that is not below the prefix

    def start(self) -> Proxy:
        self._thread.start()
        assert self._ready.wait(10), "the proxy did not start"
        return self

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        assert not self._thread.is_alive(), "the proxy did not end"

    def url(self, host: str = "localhost") -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{host}:{self.port}{self._prefix}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._connection, "127.0.0.1", 0, limit=HEAD_BYTES, ssl=self._tls)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._ended(server))
        self._loop.close()

    async def _ended(self, server: asyncio.Server) -> None:
        server.close()
        # A connection that was being accepted becomes one of ours first, or its socket stays open.
        await asyncio.sleep(0.1)
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind: asyncio.StreamWriter | None = None
        try:
            head = self._rewritten(await reader.readuntil(b"\r\n\r\n"))
            if head is None:
                writer.write(ELSEWHERE)
                await writer.drain()
                return
            source, behind = await asyncio.open_connection("127.0.0.1", self._upstream)
            behind.write(head)
            sending = asyncio.create_task(_pump(reader, behind))
            try:
                await _pump(source, writer)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # one of the two went away, as browsers do
        except asyncio.CancelledError:
            pass  # the proxy ends; the stream's own callback would report it as a fault
        finally:
            for end in (writer, behind):
                if end is not None:
                    end.transport.abort()

    def _rewritten(self, head: bytes) -> bytes | None:
        lines = head.decode("latin-1").split("\r\n")
        method, target, version = lines[0].split(" ")
        if not target.startswith(self._prefix + "/"):
            self.outside.append(target)
            return None
        dropped = ("host:", "connection:", *(f"{name}:".lower() for name in self._headers))
        kept = [line for line in lines[1:-2] if not line.lower().startswith(dropped)]
        new = [f"host: 127.0.0.1:{self._upstream}", "connection: close"]
        new += [f"{name}: {value}" for name, value in self._headers.items()]
        first = f"{method} {target[len(self._prefix) :]} {version}"
        return "\r\n".join([first, *kept, *new, "", ""]).encode("latin-1")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while part := await reader.read(1 << 16):
        writer.write(part)
        await writer.drain()
    with contextlib.suppress(ConnectionError, NotImplementedError):
        await writer.drain()
        writer.close()
