"""The runs that were kept: listed, shown again, downloaded, deleted, each for its owner.

Only serves what the store holds; nothing is computed here.
"""

from __future__ import annotations

import datetime as dt

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from qwen_webui.errors import NotFound, WebUIError
from qwen_webui.services import Services
from qwen_webui.ui import json_view
from qwen_webui.ui.json_table import as_csv, rows_of
from qwen_webui.ui.json_wire import UNSTORED, refused
from qwen_webui.ui.routes import download
from qwen_webui.ui.texts import AllTexts
from qwen_webui.ui.visitor import language_of, owner_of


def run_routes(services: Services, texts: AllTexts) -> APIRouter:
    """The router of this file."""
    router = APIRouter(prefix="/ui/json/runs", include_in_schema=False)
    kept = services.store.runs

    @router.get("")
    async def listed(request: Request, current: str = "") -> Response:
        entries = await kept.list(owner_of(request))
        now = dt.datetime.now().astimezone()
        html = json_view.run_list(entries, current, texts[language_of(request)], now)
        return HTMLResponse(html, headers=UNSTORED)

    @router.get("/{id}")
    async def one(id: str, request: Request) -> Response:
        t = texts[language_of(request)]
        try:
            run = await kept.get(owner_of(request), id)
        except NotFound as error:
            return refused(error, t)
        return JSONResponse(json_view.whole_run(run, t), headers=UNSTORED)

    @router.delete("/{id}")
    async def delete(id: str, request: Request) -> Response:
        try:
            await kept.delete(owner_of(request), id)
        except WebUIError as error:
            return refused(error, texts[language_of(request)])
        return Response(status_code=204, headers=UNSTORED)

    @router.get("/{id}/{form}")
    async def file(id: str, form: str, request: Request) -> Response:
        owner = owner_of(request)
        run = await kept.get(owner, id)
        if form == "run.json":
            return download(
                await kept.export_json(owner, id), "application/json", run.title or "run", form
            )
        if form == "answer.json" and run.outcome == "valid":
            return download(run.answer + "\n", "application/json", run.title or "answer", "json")
        rows = rows_of(run.answer) if run.outcome == "valid" else None
        if form == "table.csv" and rows is not None:
            return download(as_csv(rows), "text/csv", run.title or "answer", "csv")
        raise NotFound("This run has no such file.")

    return router
