"""The Compare tab: its places on the page, and the routes under /ui/compare that its script asks.

A page that looks asks for what has changed; one that goes away changes nothing, and finds the
comparison again when it comes back. Each comparison is its owner's alone.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from qwen_webui.comparison.differences import Change, changes
from qwen_webui.comparison.export import as_csv, as_json, as_markdown
from qwen_webui.comparison.values import Comparison
from qwen_webui.errors import Forbidden, NotFound, WebUIError
from qwen_webui.services import Services
from qwen_webui.ui.compare_choice import choice_html
from qwen_webui.ui.compare_order import read_order, said_messages
from qwen_webui.ui.compare_view import kept_list, result_of, version_of
from qwen_webui.ui.compare_words import comparison_title, with_names
from qwen_webui.ui.json_wire import UNSTORED, answered, refused
from qwen_webui.ui.markup import escape
from qwen_webui.ui.model_row import View, display_name
from qwen_webui.ui.routes import download
from qwen_webui.ui.texts import AllTexts, Texts
from qwen_webui.ui.visitor import is_admin, language_of, owner_of

_KINDS = {"json": "application/json", "csv": "text/csv", "md": "text/markdown"}
_TEXTS = {"json": as_json, "csv": as_csv, "md": as_markdown}
_MARKS_KEPT = 200  # answers whose differences are not looked for again at every look


def build_compare(i18n: gr.I18n) -> gr.Markdown:
    """The tab's place below the chat; its looks are one text, see compare_frame.py."""
    return gr.Markdown(
        i18n("frame.compare"), elem_id="qw-compare", sanitize_html=False, latex_delimiters=[]
    )


def build_comparisons(i18n: gr.I18n) -> gr.Markdown:
    """The kept comparisons' place in the side column."""
    return gr.Markdown(
        i18n("frame.comparisons"),
        elem_id="qw-comparisons",
        sanitize_html=False,
        latex_delimiters=[],
    )


def compare_routes(services: Services, texts: AllTexts) -> APIRouter:
    """All of them."""
    router = APIRouter(prefix="/ui/compare", include_in_schema=False)
    _add_form(router, services, texts)
    _add_result(router, services, texts)
    _add_kept(router, services, texts)
    return router


def _add_form(router: APIRouter, services: Services, texts: AllTexts) -> None:
    """What can be compared, and the start."""

    @router.get("/choice")
    async def choice(request: Request, conversation: str = "") -> Response:
        t = texts[language_of(request)]
        said = await _said(services, owner_of(request), conversation, t)
        try:
            rows = await services.manager.forecasts()
        except WebUIError as error:
            words = t.error(error.code) or error.message
            return _json({"choice": f'<p class="qw-note">{escape(words)}</p>', **said})
        view = View(rows, services.manager.status(), services.settings.offline, t)
        return _json({"choice": choice_html(view), **said})

    @router.post("/start")
    async def start(request: Request) -> Response:
        async def work(sent: dict[str, Any]) -> dict[str, Any]:
            _require_admin(request)
            owner = owner_of(request)
            wanted = await read_order(services, owner, sent, language_of(request))
            return {"id": (await services.comparisons.start(wanted, owner)).id}

        return await answered(request, texts[language_of(request)], work)


def _require_admin(request: Request) -> None:
    if not is_admin(request):
        raise Forbidden("Comparing loads models: it needs an admin key.", code="admin_key_required")


async def _said(services: Services, owner: str, conversation: str, t: Texts) -> dict[str, object]:
    """Whether the conversation in the chat can be asked, in words."""
    none = {"said": t("compare.conversation_none"), "askable": False}
    if not conversation:
        return none
    try:
        found = await services.store.get(owner, conversation)
    except NotFound:
        return none
    messages = said_messages(services, found, t.language)
    if not messages:
        return none
    count = sum(message.role != "system" for message in messages)
    title = found.title or t("side.untitled")
    said = t("compare.conversation_named", title=title, count=count)
    return {"said": said, "askable": True}


def _add_result(router: APIRouter, services: Services, texts: AllTexts) -> None:
    """One comparison as it stands now, and its end."""
    marks = Marks()

    @router.get("/now")
    async def now(request: Request, id: str = "", seen: str = "") -> Response:
        t, owner = texts[language_of(request)], owner_of(request)
        running = services.comparisons.current()
        mine = running if running is not None and running.owner == owner else None
        try:
            shown = services.comparisons.get(owner, id) if id else mine
        except NotFound as error:
            return refused(error, t)
        blocked = _blocked(running, owner, t, admin=is_admin(request))
        version = f"{blocked[:20]}-{version_of(shown) if shown else ''}"
        if seen == version:
            return Response(status_code=204, headers=UNSTORED)
        told: dict[str, Any] = {"version": version, "blocked": blocked, "id": ""}
        told |= {"running": mine.id if mine else "", "active": bool(shown and shown.active)}
        if shown is not None:
            rows = await services.comparisons.fidelity(shown.wanted.checkpoints)
            fidelity = {row.checkpoint: row for row in rows}
            shown = with_names(shown, _names(services, t))
            result = await asyncio.to_thread(result_of, shown, fidelity, marks.of, t)
            told |= {"id": shown.id, "frame": result.frame, "parts": dict(result.parts)}
        return _json(told)

    @router.post("/cancel")
    async def cancel(request: Request) -> Response:
        async def work(sent: dict[str, Any]) -> dict[str, Any]:
            id = sent.get("id")
            await services.comparisons.cancel(owner_of(request), id if isinstance(id, str) else "")
            return {}

        return await answered(request, texts[language_of(request)], work)


def _blocked(running: Comparison | None, owner: str, t: Texts, *, admin: bool) -> str:
    """Why none can be begun now, as HTML's text; nothing of what others compare."""
    if not admin:
        return t("compare.not_admin")
    if running is None:
        return ""
    return t("compare.running_already" if running.owner == owner else "compare.busy")


def _add_kept(router: APIRouter, services: Services, texts: AllTexts) -> None:
    """What was compared before."""

    @router.get("/kept")
    async def listed(request: Request, current: str = "") -> Response:
        kept = await services.comparisons.listed(owner_of(request))
        t, now = texts[language_of(request)], dt.datetime.now().astimezone()
        return HTMLResponse(kept_list(kept, current, t, now), headers=UNSTORED)

    @router.delete("/kept/{id}")
    async def delete(id: str, request: Request) -> Response:
        try:
            await services.comparisons.delete(owner_of(request), id)
        except WebUIError as error:
            return refused(error, texts[language_of(request)])
        return Response(status_code=204, headers=UNSTORED)

    @router.get("/kept/{id}/{form}")
    async def file(id: str, form: str, request: Request) -> Response:
        found = services.comparisons.get(owner_of(request), id)
        if form not in _KINDS:
            raise NotFound("Comparisons are exported as json, csv or md.")
        t = texts[language_of(request)]
        text = await asyncio.to_thread(_TEXTS[form], found)
        title = comparison_title(found, t) or "comparison"
        return download(text, _KINDS[form], title, form)


class Marks:
    """Differences that were looked for already, the latest ones."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Sequence[Change]] = {}

    def of(self, reference: str, text: str) -> Sequence[Change]:
        """See changes()."""
        key = (reference, text)
        found = self._found.get(key)
        if found is None:
            found = changes(reference, text)
            if len(self._found) >= _MARKS_KEPT:
                self._found = {}
            self._found[key] = found
        return found


def _names(services: Services, t: Texts) -> dict[str, str]:
    return {spec.name: display_name(spec, t) for spec in services.library.all()}


def _json(value: Mapping[str, Any]) -> Response:
    return JSONResponse(dict(value), headers=UNSTORED)
