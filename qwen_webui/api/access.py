"""The outermost layer: every request, of the page and of the API, passes it exactly once.

Names it, refuses what must not get in, logs it in one line. Who may do what, once there are keys,
belongs into `_gate`.
"""

from __future__ import annotations

import ipaddress
import logging
import time

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from qwen_webui.api.events import CLIENT_GONE
from qwen_webui.api.problems import internal_error
from qwen_webui.api.visit import Visit
from qwen_webui.errors import Forbidden, MethodNotAllowed, ShuttingDown, WebUIError
from qwen_webui.models.manager import RETRY_AFTER_LOAD, SHUTTING_DOWN
from qwen_webui.services import Services

log = logging.getLogger(__name__)

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
METHODS = (*SAFE_METHODS, "POST", "PUT", "PATCH", "DELETE")
# While the server stops, what the open pages need to show the end of their answers.
OPEN_TO_THE_END = ("/healthz", "/readyz", "/gradio_api/cancel")
PAGE_READS = ("/gradio_api/", "/assets/", "/ui/")
HEARTBEAT = "/gradio_api/heartbeat/"
# What every open tab asks for by itself every few seconds: seen at the debug level only.
POLLED = ("/ui/bar", HEARTBEAT)


class AccessLayer:
    """Wraps the whole application.

    `busy` counts the requests under way, without heartbeats; `names` are the Host names that are
    answered to, all of them if there is none.
    """

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self.app = app
        self._stopping = services.stopping
        self.names = _host_names(services.settings.host)
        self.busy = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        assert scope["type"] == "http", "the server is started without websockets"
        visit = Visit(scope, receive, send)
        counts = not visit.path.startswith(HEARTBEAT)
        self.busy += counts
        try:
            await self._serve(scope, visit)
        finally:
            self.busy -= counts
            _log(visit)

    async def _serve(self, scope: Scope, visit: Visit) -> None:
        refusal = self._gate(visit)
        if refusal is not None:
            await visit.refuse(refusal)
            return
        try:
            await self.app(scope, visit.receive, visit.send)
        except ClientDisconnect:
            log.debug("%s the client went away", visit.id)
        except Exception:
            log.exception("%s %s %s failed", visit.id, visit.method, visit.path)
            if visit.status is None and visit.refusal is None:
                await visit.refuse(internal_error())
        if visit.refusal is not None and visit.status is None:
            await visit.refuse(visit.refusal)

    def _gate(self, visit: Visit) -> WebUIError | None:
        """Why a request is not let in, or None."""
        name = _without_port(visit.headers.get("host", ""))
        if name and self.names and name not in self.names:
            return Forbidden(
                "This server answers only under the names of this computer, for example "
                "localhost. Start it with --host to serve others."
            )
        if visit.method not in METHODS:
            return MethodNotAllowed(f"No address here takes {visit.method[:20]}.")
        foreign = visit.headers.get("sec-fetch-site") == "cross-site"
        if foreign and visit.method not in SAFE_METHODS:
            return Forbidden("Pages of other sites may not send requests to this server.")
        if self._stopping.is_set() and not _to_the_end(visit):
            return ShuttingDown(SHUTTING_DOWN, retry_after=RETRY_AFTER_LOAD)
        length = visit.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > visit.limit:
            return visit.too_large()
        return None


def _to_the_end(visit: Visit) -> bool:
    reads = visit.method in SAFE_METHODS and visit.path.startswith(PAGE_READS)
    return reads or visit.path in OPEN_TO_THE_END


def _host_names(host: str) -> frozenset[str]:
    """The Host names a server bound to `host` answers to; empty means all. A page of any other
    name that resolves to this computer is an attack (DNS rebinding)."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host.lower() == "localhost"
    return frozenset(("localhost", "127.0.0.1", "[::1]", host.lower())) if loopback else frozenset()


def _without_port(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdecimal() else host.lower()


def _log(visit: Visit) -> None:
    log.log(
        logging.DEBUG if visit.path.startswith(POLLED) else logging.INFO,
        "%s %s %s %s %.0f ms%s",
        visit.id,
        visit.method,
        visit.path[:200],
        visit.status or CLIENT_GONE,
        (time.monotonic() - visit.started) * 1000,
        f" {visit.tokens} tokens" if visit.tokens is not None else "",
    )
