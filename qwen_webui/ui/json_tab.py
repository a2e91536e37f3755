"""The JSON tab: its places on the page, and the routes under /ui/json that its script asks.

An answer is one response, a line of JSON for each piece: a page that goes away ends the run by
that alone. Every route looks at the values itself, for a browser may send anything.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

import gradio as gr
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from qwen_webui.errors import InvalidRequest, WebUIError
from qwen_webui.examples import Example, load_examples
from qwen_webui.services import Services
from qwen_webui.structured import infer_schema
from qwen_webui.ui import json_view
from qwen_webui.ui.json_code import Call
from qwen_webui.ui.json_runs import End, JsonRuns, Order, text_field
from qwen_webui.ui.json_wire import TOO_DEEP, UNSTORED, answered, read_json, refused, sent_values
from qwen_webui.ui.routes import is_keyed
from qwen_webui.ui.texts import AllTexts, Texts
from qwen_webui.ui.visitor import language_of, owner_of

# Sent while nothing is new: a proxy gives up on a silent answer after a minute.
_SILENT = 20  # looks


def build_json(i18n: gr.I18n) -> gr.Markdown:
    """The tab's place below the chat; its looks are one text, see json_frame.py."""
    return gr.Markdown(
        i18n("frame.json"),
        elem_id="qw-json",
        sanitize_html=False,
        latex_delimiters=[],
    )


def build_runs(i18n: gr.I18n) -> gr.Markdown:
    """The runs' place in the side column."""
    return gr.Markdown(
        i18n("frame.runs"),
        elem_id="qw-runs",
        sanitize_html=False,
        latex_delimiters=[],
    )


def form_routes(services: Services, texts: AllTexts) -> APIRouter:
    """What helps to fill in the form."""
    router = APIRouter(prefix="/ui/json", include_in_schema=False)
    examples = load_examples()

    def t_of(request: Request) -> Texts:
        return texts[language_of(request)]

    @router.get("/examples")
    async def listed(request: Request) -> Response:
        return JSONResponse([_shown(e, t_of(request)) for e in examples], headers=UNSTORED)

    @router.post("/check")
    async def check(request: Request) -> Response:
        async def work(sent: dict[str, Any]) -> json_view.Json:
            schema = text_field(sent, "schema")
            found = await services.structured.inspect(schema, services.folder)
            t = t_of(request)
            return {"problems": [json_view.problem_words(p, schema, t) for p in found]}

        return await answered(request, t_of(request), work)

    @router.post("/infer")
    async def infer(request: Request) -> Response:
        async def work(sent: dict[str, Any]) -> json_view.Json:
            example = read_json(text_field(sent, "example"))
            # A long example takes a while to look through.
            schema = await asyncio.to_thread(infer_schema, example)
            return {"schema": json.dumps(schema, ensure_ascii=False)}

        return await answered(request, t_of(request), work)

    @router.post("/code")
    async def code(request: Request) -> Response:
        async def work(sent: dict[str, Any]) -> json_view.Json:
            try:
                return asdict((await _call(services, request, sent)).code())
            except RecursionError as error:
                raise InvalidRequest(TOO_DEEP, code="not_json") from error

        return await answered(request, t_of(request), work)

    return router


def answer_routes(services: Services, texts: AllTexts) -> APIRouter:
    """A run, and Stop."""
    router = APIRouter(prefix="/ui/json", include_in_schema=False)
    runs = JsonRuns(services)

    @router.post("/run")
    async def run(request: Request) -> Response:
        t = texts[language_of(request)]
        try:
            order = Order.read(await sent_values(request))
            owner = owner_of(request)
        except WebUIError as error:
            return refused(error, t)
        headers = {**UNSTORED, "x-accel-buffering": "no"}
        lines = _lines(runs, owner, order, t)
        return StreamingResponse(lines, headers=headers, media_type="application/x-ndjson")

    @router.post("/stop")
    async def stop(request: Request) -> Response:
        async def work(sent: dict[str, Any]) -> json_view.Json:
            runs.stop(owner_of(request), text_field(sent, "ticket"))
            return {}

        return await answered(request, texts[language_of(request)], work)

    return router


async def _lines(runs: JsonRuns, owner: str, order: Order, t: Texts) -> AsyncGenerator[bytes, None]:
    """A line for each thing that is new: what is waited for, a piece of text, the end."""
    sent, said, silent = 0, b"", 0
    async with aclosing(runs.follow(owner, order)) as news:
        async for now in news:
            if isinstance(now, End):
                yield _line({"end": json_view.end_of(now, t)})
                return
            text = now.answer.text
            if len(text) > sent:
                line = _line({"text": text[sent:], "tokens": now.answer.tokens})
                sent = len(text)
            else:
                line = b"" if text or now.answer.done else _line(json_view.waiting(now, t))
            silent = silent + 1 if not line or line == said else 0
            if silent == 0 or silent % _SILENT == 0:
                yield line or b"\n"
            said = line


def _line(value: json_view.Json) -> bytes:
    return json.dumps(value).encode() + b"\n"


async def _call(services: Services, request: Request, sent: dict[str, Any]) -> Call:
    order = Order.read(sent)
    schema = read_json(order.schema)
    if not isinstance(schema, dict):
        raise InvalidRequest("A schema is a JSON object.", code="not_json")
    address = sent.get("at")
    if not isinstance(address, str) or not address.startswith(("http://", "https://")):
        address = str(request.base_url)
    owner = owner_of(request)
    names = [(await services.documents.get(owner, id)).name for id in order.documents]
    status = services.manager.status()
    return Call(
        address=address[:500].rstrip("/"),
        model=status.name or status.target or "",
        prompt=order.prompt,
        schema=schema,
        max_tokens=order.max_new_tokens,
        keyed=is_keyed(services),
        documents=tuple(names),
    )


def _shown(example: Example, t: Texts) -> json_view.Json:
    language = t.language
    return {
        "id": example.id,
        "title": example.title[language],
        "description": example.description[language],
        "prompt": example.prompt[language],
        "schema": example.schema,
    }
