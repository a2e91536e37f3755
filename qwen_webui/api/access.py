"""The outermost layer: every request, of the page and of the API, passes it exactly once.

Names it, refuses what must not get in, logs it in one line. Whose key it carries is callers.py's.
"""

from __future__ import annotations

import logging
import time

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from qwen_webui.api.callers import Callers
from qwen_webui.api.cors import Cors, is_foreign
from qwen_webui.api.events import CLIENT_GONE
from qwen_webui.api.hosts import answered_names, without_port
from qwen_webui.api.login import FORM_BYTES, LOGIN, Login, is_login, to_login
from qwen_webui.api.problems import internal_error
from qwen_webui.api.visit import Visit
from qwen_webui.errors import (
    Forbidden,
    MethodNotAllowed,
    ShuttingDown,
    TooManyTries,
    Unauthorized,
    WebUIError,
)
from qwen_webui.models.manager import RETRY_AFTER_LOAD, SHUTTING_DOWN
from qwen_webui.services import Services

log = logging.getLogger(__name__)

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
METHODS = (*SAFE_METHODS, "POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY")
# All that is answered without a key.
OPEN = ("/healthz", "/readyz", LOGIN)
# While the server stops, what the open pages need to show the end of their answers.
OPEN_TO_THE_END = ("/healthz", "/readyz", "/gradio_api/cancel")
PAGE_READS = ("/gradio_api/", "/assets/", "/ui/")
HEARTBEAT = "/gradio_api/heartbeat/"
# Where programs ask, which keep no cookies.
PROGRAMS = ("/api/", "/v1/")
# What tabs and Prometheus ask for by themselves every few seconds: seen at the debug level only.
POLLED = ("/ui/bar", "/ui/monitor", "/metrics", HEARTBEAT)


class AccessLayer:
    """Wraps the whole application.

    `busy` counts the requests under way, without heartbeats; `names` are the Host names that are
    answered to, all of them if there is none.
    """

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self.app = app
        self._stopping = services.stopping
        settings = services.settings
        self._callers = Callers(settings)
        self._login = Login(self._callers)
        self._cors = Cors(settings.cors_origin)
        keyed = bool(self._callers.keys)
        self.names = answered_names(settings.host, settings.allowed_host, keyed=keyed)
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
        try:
            answer = self._gate(visit)
        except WebUIError as error:
            await visit.refuse(error)
            return
        try:
            app = answer or (self._login if is_login(visit.path) else self.app)
            await app(scope, visit.receive, visit.send)
        except ClientDisconnect:
            log.debug("%s the client went away", visit.id)
        except Exception:
            log.exception("%s %s %s failed", visit.id, visit.method, visit.path)
            if visit.status is None and visit.refusal is None:
                await visit.refuse(internal_error())
        if visit.refusal is not None and visit.status is None:
            await visit.refuse(visit.refusal)

    def _gate(self, visit: Visit) -> Response | None:
        """An answer that needs no look inside, or None. Raises why a request is not let in."""
        name = without_port(visit.headers.get("host", ""))
        if name and self.names and name not in self.names:
            raise Forbidden(
                "This server does not answer under that name. Use localhost or another name of "
                "this computer, or start it with --allowed-host."
            )
        visit.leave = self._cors.leave(visit.headers)
        if self._cors.is_preflight(visit.method, visit.headers):
            visit.leave = {**visit.leave, **self._cors.preflight()}
            return Response(status_code=204)
        if visit.method not in METHODS:
            raise MethodNotAllowed(f"No address here takes {visit.method[:20]}.")
        if visit.method not in SAFE_METHODS and self._comes_from_elsewhere(visit):
            raise Forbidden(
                "Pages of other sites may not send requests to this server. If this is its own "
                "page behind a proxy, have the proxy pass the Host header on; a site that may is "
                "named with --cors-origin."
            )
        to_login = self._identify(visit)
        if to_login is not None:
            return to_login
        if self._stopping.is_set() and not _to_the_end(visit):
            raise ShuttingDown(SHUTTING_DOWN, retry_after=RETRY_AFTER_LOAD)
        length = visit.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > visit.limit:
            raise visit.too_large()
        return None

    def _comes_from_elsewhere(self, visit: Visit) -> bool:
        # Over plain http a form of ours says "null" too, because no page tells where it was.
        form = visit.headers.get("origin") == "null" and is_login(visit.path)
        if form and "sec-fetch-site" not in visit.headers:
            return False
        return is_foreign(visit.headers) and not self._cors.allows(visit.headers)

    def _identify(self, visit: Visit) -> Response | None:
        """Put down who asks; the way to the login for a person who has not logged in. Raises
        Unauthorized or TooManyTries."""
        if not self._callers.keys:
            visit.admit(admin=True, owner=_by_address(visit))
            return None
        if visit.path in OPEN:
            if visit.path == LOGIN:
                visit.limit = FORM_BYTES
            return None
        cookies = self._cors.takes_cookies(visit.headers)
        try:
            holder = self._callers.identify(visit.scope, visit.headers, cookies=cookies)
        except (Unauthorized, TooManyTries):
            if not _is_navigation(visit):
                raise
            return to_login(visit.path, visit.scope["query_string"])
        visit.admit(admin=holder.admin, owner=holder.owner)
        return None


def require_admin(request: Request) -> None:
    """Raises Forbidden for a caller who may not load, unload or download."""
    if getattr(request.state, "admin", False) is not True:
        raise Forbidden(
            "Loading, unloading and downloading models needs an admin key of this server. Send "
            "one as `Authorization: Bearer KEY`, or ask whoever runs the server.",
            code="admin_key_required",
        )


def owner_of(request: Request) -> str:
    """Whose documents and conversations are meant."""
    owner = request.state.owner
    assert isinstance(owner, str), "every request has an owner"
    return owner


def _by_address(visit: Visit) -> str | None:
    """The owner of what a program makes that keeps no cookie and, on a server without keys, has
    none to send: its address. It is no owner that a cookie can name."""
    client = visit.scope.get("client")
    return f"address {client[0]}" if client and visit.path.startswith(PROGRAMS) else None


def _is_navigation(visit: Visit) -> bool:
    """A person's browser opens a page, as against a script that asks for data."""
    wants = "text/html" in visit.headers.get("accept", "")
    mode = visit.headers.get("sec-fetch-mode", "navigate")
    return visit.method in ("GET", "HEAD") and wants and mode == "navigate"


def _to_the_end(visit: Visit) -> bool:
    reads = visit.method in SAFE_METHODS and visit.path.startswith(PAGE_READS)
    return reads or visit.path in OPEN_TO_THE_END


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
