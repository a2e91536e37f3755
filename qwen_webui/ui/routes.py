"""The page's own small routes under /ui: its files, the model bar, dialogs, exports.

They belong to the page and may change with it; the product's API is api/.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import asdict
from importlib import resources
from pathlib import PurePosixPath
from urllib.parse import quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from qwen_webui.errors import NotFound
from qwen_webui.services import Services
from qwen_webui.types import Use
from qwen_webui.ui.about import about_html
from qwen_webui.ui.advisor import answer_html
from qwen_webui.ui.model_bar import read_bar, version
from qwen_webui.ui.picker import picker_or_reason
from qwen_webui.ui.texts import AllTexts
from qwen_webui.ui.visitor import is_admin, language_of, owner_of

# How the closed addresses of Gradio begin.
CLOSED = (
    *("call/", "api/", "component_server", "stream/", "process_recording", "deep_link", "runs"),
    *("file=http:", "file=https:", "file/http:", "file/https:", "proxy=", "custom_component/"),
    *("dev/", "vibe-", "undo-vibe-", "profiling/", "run-history/", "upload"),
)
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def read_assets() -> dict[str, str]:
    """The page's own styles and scripts by file name."""
    folder = resources.files("qwen_webui.ui") / "assets"
    files = (f for f in folder.iterdir() if PurePosixPath(f.name).suffix in _KINDS)
    return {f.name: f.read_text(encoding="utf-8") for f in files}


def is_keyed(services: Services) -> bool:
    """Whether visitors log in."""
    return bool(services.settings.api_key or services.settings.admin_key)


def page_routes(services: Services, texts: AllTexts) -> APIRouter:
    """All of them."""
    router = APIRouter(prefix="/ui", include_in_schema=False)
    _add_assets(router)
    _add_frame(router, services, texts)
    _add_conversation(router, services)
    return router


def _add_assets(router: APIRouter) -> None:
    """The page's files."""
    assets = read_assets()

    @router.get("/assets/{name}")
    async def asset(name: str, request: Request) -> Response:
        text = assets.get(name)
        if text is None:
            raise NotFound(f"The page has no file {name[:80]!r}.")
        tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:16]}"'
        # Asked for again each time, and sent again only when it has changed.
        headers = {"etag": tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        kind = _KINDS[PurePosixPath(name).suffix]
        return Response(text, headers=headers, media_type=f"{kind}; charset=utf-8")


def _add_frame(router: APIRouter, services: Services, texts: AllTexts) -> None:
    """What stands around the conversation: the model bar and the dialogs."""
    # Tells a page that what it knew of the server before is over.
    server = secrets.token_hex(8)

    @router.get("/bar")
    async def bar(request: Request, seen: str = "") -> Response:
        now = await read_bar(services, texts[language_of(request)], admin=is_admin(request))
        mark = f"{server}-{version(now)}"
        if seen == mark:
            return Response(status_code=204, headers=_UNSTORED)
        content = {**asdict(now), "version": mark, "server": server}
        return JSONResponse(content, headers=_UNSTORED)

    @router.get("/models")
    async def models(request: Request) -> Response:
        t = texts[language_of(request)]
        html = await picker_or_reason(services, t, admin=is_admin(request))
        return HTMLResponse(html, headers=_UNSTORED)

    @router.get("/advice")
    async def advice(request: Request, use: Use, context: int) -> Response:
        t, admin = texts[language_of(request)], is_admin(request)
        html = await answer_html(services, t, use, context, admin=admin)
        return HTMLResponse(html, headers=_UNSTORED)

    @router.get("/about")
    async def about(request: Request) -> Response:
        address = str(request.query_params.get("at", "")).rstrip("/")
        if not address.startswith(("http://", "https://")):
            address = str(request.base_url).rstrip("/")
        t = texts[language_of(request)]
        return HTMLResponse(about_html(address, t, keyed=is_keyed(services)), headers=_UNSTORED)


def _add_conversation(router: APIRouter, services: Services) -> None:
    """A conversation to keep, and one message as it was written."""

    @router.get("/export/{id}.{form}")
    async def export(id: str, form: str, request: Request) -> Response:
        owner, language = owner_of(request), language_of(request)
        title = (await services.store.get(owner, id)).title
        if form == "md":
            text = await services.store.export_markdown(owner, id, language)
            return download(text, "text/markdown", title, form)
        if form == "json":
            text = await services.store.export_json(owner, id)
            return download(text, "application/json", title, form)
        raise NotFound("Conversations are exported as .md or .json.")

    @router.get("/message/{id}/{place}")
    async def message(id: str, place: int, request: Request) -> Response:
        messages = (await services.store.get(owner_of(request), id)).messages
        if not 0 <= place < len(messages):
            raise NotFound("There is no such message.")
        return Response(messages[place].content, media_type="text/plain", headers=_UNSTORED)


def closed_routes() -> APIRouter:
    """What Gradio serves and the page does not use: a second way to its handlers, which runs them
    with nobody there to stop them; fetching of addresses that a visitor names; and what is for
    people who write Gradio pages."""
    router = APIRouter(include_in_schema=False)

    async def closed(rest: str) -> Response:
        raise NotFound("The page does not use this address. For the API see /openapi.json.")

    for start in CLOSED:
        path = f"/gradio_api/{start}{{rest:path}}"
        router.add_api_route(path, closed, methods=["GET", "HEAD", "POST"])
    return router


def words_for_scripts(texts: AllTexts, language: str) -> dict[str, str]:
    """The few texts that the scripts put up themselves."""
    t = texts["zh" if language == "zh" else "en"]
    sections = ("page.", "side.", "chat.", "json.", "documents.", "monitor.", "compare.")
    more = ("model.picker_title", "about.title", "errors.title")
    return {key: text for key, text in t.all().items() if key.startswith(sections) or key in more}


_UNSTORED = {"cache-control": "no-store"}


def download(text: str, kind: str, title: str, form: str) -> Response:
    """A file for the visitor, called like the conversation or the run it comes from."""
    name = "".join(c if c.isalnum() or c in " -_." else "_" for c in title).strip(" .")[:80]
    name = f"{name or 'conversation'}.{form}"
    headers = {
        **_UNSTORED,
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name)}",
        "x-content-type-options": "nosniff",
    }
    return Response(text, headers=headers, media_type=f"{kind}; charset=utf-8")
