"""GET and POST /login, POST /logout: a key becomes a cookie, and the cookie goes again.

Everything it sends is relative, so that it works behind a proxy that strips a prefix. Which
requests need a login is access.py's.
"""

from __future__ import annotations

from urllib.parse import parse_qs, quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from qwen_webui.api.callers import Callers
from qwen_webui.api.cookies import cookie_values
from qwen_webui.api.login_page import login_page
from qwen_webui.api.problems import problem
from qwen_webui.errors import MethodNotAllowed, NotFound, TooManyTries, Unauthorized, WebUIError
from qwen_webui.language import LANGUAGE_COOKIE, wanted_language
from qwen_webui.personas import Language

LOGIN, LOGOUT = "/login", "/logout"
FORM_BYTES = 8 << 10
NEXT_LENGTH = 1000
SEE_OTHER = 303
LANGUAGE_SECONDS = 365 * 24 * 3600

_UNSTORED = {"cache-control": "no-store"}


def is_login(path: str) -> bool:
    """Whether `path` belongs to this file; Gradio has a login of its own below the same names."""
    return path.startswith((LOGIN, LOGOUT)) and path.split("/")[1] in ("login", "logout")


def to_login(path: str, query: bytes) -> Response:
    """Send a browser that wanted `path` to the login, and from there back."""
    wanted = path.lstrip("/") + ("?" + query.decode("latin-1") if query else "")
    up = "../" * (path.count("/") - 1) or "./"
    after = "?" + urlencode({"next": wanted[:NEXT_LENGTH]}) if wanted else ""
    return _redirect(f"{up}login{after}")


class Login:
    """The ASGI application behind these paths."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except WebUIError as error:
            response = problem(error)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path, method = request.url.path, request.method
        if path == LOGIN and method in ("GET", "HEAD"):
            return self._arrive(request)
        if path == LOGIN and method == "POST":
            body = (await request.body()).decode("utf-8", "replace")
            form = {name: values[-1] for name, values in parse_qs(body, max_num_fields=8).items()}
            return self._enter(request, form.get("key", "").strip(), form.get("next", ""))
        if path == LOGOUT and method == "POST":
            response = _redirect("./login")
            response.headers.append(
                "set-cookie", self._callers.logged_out(request.scope, request.headers)
            )
            return response
        if path in (LOGIN, LOGOUT):
            raise MethodNotAllowed(f"{path} does not take {method}; send a form with POST.")
        raise NotFound(f"There is nothing at {path[:100]}.")

    def _arrive(self, request: Request) -> Response:
        """The page; with ?key= in the address straight on to what was wanted, the key gone."""
        target = request.query_params.get("next", "")
        key = request.query_params.get("key", "").strip()
        if key:
            return self._enter(request, key, target)
        if not self._callers.keys or self._is_in(request):
            return _redirect(_safe(target))
        chosen = request.query_params.get("lang")
        response = _page(request, target, language=_language(request, chosen))
        if chosen in ("zh", "en"):
            # Read by the page's own script too.
            response.headers.append(
                "set-cookie",
                f"{LANGUAGE_COOKIE}={chosen}; Path=/; Max-Age={LANGUAGE_SECONDS}; SameSite=Lax",
            )
        return response

    def _is_in(self, request: Request) -> bool:
        try:
            self._callers.identify(request.scope, request.headers)
        except (Unauthorized, TooManyTries):
            return False
        return True

    def _enter(self, request: Request, key: str, target: str) -> Response:
        if not self._callers.keys:
            return _redirect(_safe(target))
        if not key:
            return _page(request, target, status=Unauthorized.status, said="empty")
        try:
            holder = self._callers.check(request.scope, key)
        except TooManyTries as error:
            wait = error.retry_after or 1
            response = _page(request, target, status=error.status, said="slow", seconds=wait)
            response.headers["retry-after"] = str(wait)
            return response
        except Unauthorized as error:
            return _page(request, target, status=error.status, said="wrong")
        response = _redirect(_safe(target))
        response.headers.append(
            "set-cookie", self._callers.logged_in(request.scope, request.headers, holder)
        )
        return response


def _page(
    request: Request,
    target: str,
    *,
    status: int = 200,
    said: str = "",
    seconds: int = 0,
    language: Language | None = None,
) -> Response:
    html = login_page(
        language or _language(request), target[:NEXT_LENGTH], said=said, seconds=seconds
    )
    headers = _UNSTORED | {"vary": "Accept-Language, Cookie"}
    if status == Unauthorized.status:
        headers["www-authenticate"] = "Bearer"
    return Response(html, status, headers, media_type="text/html; charset=utf-8")


def _language(request: Request, chosen: str | None = None) -> Language:
    kept = cookie_values(request.headers, LANGUAGE_COOKIE)
    wish = chosen if chosen in ("zh", "en") else (kept[-1] if kept else None)
    return wanted_language(wish, request.headers.get("accept-language", ""))


def _safe(target: str) -> str:
    """`target` as an address below ours. Nothing after "./" can name another host; what looks as
    if it tried leads to the page."""
    odd = target.startswith(("/", "\\")) or any(c < " " or c == "\\" for c in target)
    if odd or ".." in target.split("?")[0].split("/") or len(target) > NEXT_LENGTH:
        return "./"
    return "./" + quote(target, safe="/?&=%+-._~,;:@!$'()*")


def _redirect(target: str) -> Response:
    # By hand: RedirectResponse would quote the address once more.
    response = RedirectResponse("./", SEE_OTHER, _UNSTORED)
    response.headers["location"] = target
    return response
