"""The program as a server: builds the one ASGI app, binds the port, drains and stops.

What is served is api/ and ui/; what they need is services.py.
"""

from __future__ import annotations

import asyncio
import errno
import importlib
import logging
import os
import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.routing import Mount

from qwen_webui import logs
from qwen_webui.api.access import AccessLayer
from qwen_webui.api.connection import GuardedProtocol
from qwen_webui.api.hosts import in_address, is_loopback, reachable_names
from qwen_webui.api.routes import build_api
from qwen_webui.engines.base import EngineLoader
from qwen_webui.errors import SettingsError
from qwen_webui.services import (
    Services,
    close_services,
    open_services,
    read_ahead,
    start_first_load,
)
from qwen_webui.settings import Settings

log = logging.getLogger(__name__)

# Imported by name and late: gradio takes two seconds, in which the worker can already load.
PAGE = "qwen_webui.ui.page"
LAST_WORDS_SECONDS = 1.5  # for answers that ended with the drain to reach their readers
HANG_UP_SECONDS = 1  # for connections that are still open then
KEEP_ALIVE_SECONDS = 15
FORCED_EXIT = 1
KEY_BYTES = 24
# Only a proxy on this computer is believed about whom it asks for, and how.
PROXIES = ("127.0.0.1", "::1")


def build_app(services: Services) -> AccessLayer:
    """The page and the API on one port, behind the access layer."""
    api = build_api(services)
    importlib.import_module(PAGE).mount_page(api, services)
    return AccessLayer(api, services)


def run(settings: Settings) -> int:
    """Serve until a signal; returns the exit code. Raises SettingsError for a port in use."""
    return asyncio.run(serve(settings))


async def serve(settings: Settings, loader: EngineLoader | None = None) -> int:
    """Serve until SIGTERM or Ctrl+C has been obeyed. `loader` is the seam for tests."""
    settings, made = with_key(settings)
    # Before anything slow, so that a port in use is said at once and early visitors just wait.
    listener = bind(settings.host, settings.port)
    try:
        services = await open_services(settings, loader)
    except BaseException:
        listener.close()
        raise
    stopper = Stopper(services)
    reading = asyncio.create_task(read_ahead(services), name="read-ahead")
    watching = asyncio.create_task(services.monitor.run(), name="monitor")
    try:
        logs.set_up(settings.log_level, settings.data_dir / "logs")
        stopper.listen()
        if settings.insecure and not (settings.api_key or settings.admin_key):
            log.warning("--insecure: whoever reaches %s may use this server", settings.host)
        start_first_load(services)
        await asyncio.to_thread(importlib.import_module, PAGE)
        if not services.stopping.is_set():
            await _serve(services, listener, stopper, made)
    finally:
        stopper.deafen()
        listener.close()
        reading.cancel()
        watching.cancel()
        await close_services(services)
    log.info("stopped")
    return 0


def with_key(settings: Settings) -> tuple[Settings, str | None]:
    """The settings with a key made up, and that key, for a server that others reach and that was
    given none; unless it is to be open."""
    if is_loopback(settings.host) or settings.insecure or settings.api_key or settings.admin_key:
        return settings, None
    key = secrets.token_urlsafe(KEY_BYTES)
    return settings.model_copy(update={"api_key": (SecretStr(key),)}), key


def _announce(settings: Settings, made: str | None) -> None:
    """Say on the console, and nowhere else, where the server is. A key that was made up stands
    in the address, which logs in; one that was chosen is known already."""
    if made is not None:
        print("No key was given, so one was made up. Open one of these addresses to log in:")
        for name in reachable_names(settings.host):
            print(f"    http://{name}:{settings.port}/login?key={made}")
        print("Programs send it as a bearer token. Ctrl+C stops.", flush=True)
        return
    address = f"http://{in_address(settings.host)}:{settings.port}/"
    keyed = "; they ask for a key" if settings.api_key or settings.admin_key else ""
    print(f"The page and the API are at {address}{keyed} (Ctrl+C stops).", flush=True)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises SettingsError with a sentence when that cannot be had."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
    except OSError as error:
        raise SettingsError(
            f"{host} is no address of this computer ({error.strerror}); give one with --host, for "
            "example 127.0.0.1."
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise SettingsError(_not_bound(host, port, error)) from error
    listener.setblocking(False)
    return listener


def _not_bound(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} of {host} is in use. Stop the program that uses it, or choose another "
            "port with --port."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} may not be used by this account; choose one above 1023 with --port."
    return f"{host} port {port} cannot be used ({error.strerror}); see --host and --port."


async def _serve(
    services: Services, listener: socket.socket, stopper: Stopper, made: str | None
) -> None:
    app = build_app(services)
    config = uvicorn.Config(
        app,
        http=GuardedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=list(PROXIES),
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=HANG_UP_SECONDS,
    )
    server = Server(config)
    stopper.attend(server, app)
    _announce(services.settings, made)
    await server.serve(sockets=[listener])
    await stopper.stopped()


class Server(uvicorn.Server):
    """uvicorn's server; signals are the stopper's, which drains first."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See uvicorn.Server."""
        yield


class Stopper:
    """The first signal drains and stops, the second ends the process at once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._server: uvicorn.Server | None = None
        self._app: AccessLayer | None = None
        self._task: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Take the signals over."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.signalled)

    def deafen(self) -> None:
        """Give the signals back."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(number)

    def attend(self, server: uvicorn.Server, app: AccessLayer) -> None:
        """What is to be stopped."""
        self._server, self._app = server, app
        # A signal may have come, and been obeyed, before there was a server.
        server.should_exit = self._task is not None and self._task.done()

    def signalled(self) -> None:
        """A signal came."""
        if self._task is not None:
            log.warning("a second signal: ending at once")
            logging.shutdown()
            # The worker sees its pipe close and ends as well.
            os._exit(FORCED_EXIT)
        self._services.stopping.set()
        self._task = asyncio.create_task(self._stop())

    async def stopped(self) -> None:
        """Wait until a stop that was begun is through."""
        if self._task is not None:
            await self._task

    async def _stop(self) -> None:
        manager = self._services.manager
        seconds = self._services.settings.drain_seconds
        answering = manager.status().running > 0
        log.info("stopping; running answers get %g seconds to finish", seconds)
        await manager.drain(seconds)
        if self._server is None or self._app is None:
            return
        if answering:
            await self._last_words(self._app)
        _end_heartbeats(self._app.app)
        self._server.should_exit = True

    async def _last_words(self, app: AccessLayer) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + LAST_WORDS_SECONDS
        while app.busy and loop.time() < end:
            await asyncio.sleep(0.02)


def _end_heartbeats(app: object) -> None:
    """Open pages hold a stream each, which ends only with this event of gradio's."""
    assert isinstance(app, FastAPI), "the access layer wraps the API with the page mounted"
    for route in app.routes:
        stop = getattr(route.app, "stop_event", None) if isinstance(route, Mount) else None
        if stop is not None:
            stop.set()
