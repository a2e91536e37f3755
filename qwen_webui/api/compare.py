"""Comparisons over REST: begin one, look at it, take it away, end it.

Reads bodies and writes answers; what a comparison is and does is comparison/'s.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qwen_webui.api.access import owner_of, require_admin
from qwen_webui.api.compare_body import CompareBody
from qwen_webui.api.compare_shapes import (
    ComparisonEntryOut,
    ComparisonOut,
    ComparisonsOut,
    comparison_out,
    entry_values,
)
from qwen_webui.api.described import Examples, body, refusals
from qwen_webui.api.wire import read_body, refuse_other_parameters
from qwen_webui.comparison import Comparison, as_csv, as_json, as_markdown
from qwen_webui.services import Services

START = """\
Put the same prompts to several checkpoints, one after the other, in the background.

Name `checkpoints` of GET /api/models, or `precisions` of the loaded model; the first is what the
others are held against. Send `prompts` (each a user's turn, with `system` before it) or `messages`
(one conversation that ends with the user's). Answers are greedy unless `temperature` says
otherwise; the other values left out are each checkpoint's own.

Answers 202 with the comparison, whose `id` the other routes take. Meanwhile other requests wait in
line and are answered by the checkpoint that was loaded before, which is loaded again at the end;
other loads and a second comparison are refused with 409. Needs the right to load models.
"""
EXAMPLES: Examples = {
    "By name": {"checkpoints": ["demo-fp16", "demo-gptq-int4"], "prompts": ["What is rain?"]},
    "By precision": {
        "precisions": ["fp16", "gptq-int8", "awq-int4"],
        "prompts": ["What is rain?", "Name three rivers."],
        "max_new_tokens": 64,
    },
    "A conversation": {
        "precisions": ["fp16", "gptq-int4"],
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    },
}
Id = Annotated[str, Path(min_length=1, description="Its id, from POST /api/compare")]
Format = Annotated[Literal["json", "csv", "markdown"], Query(description="Of the file")]
KINDS = {
    "json": ("application/json", "json", as_json),
    "csv": ("text/csv; charset=utf-8", "csv", as_csv),
    "markdown": ("text/markdown; charset=utf-8", "md", as_markdown),
}


def compare_routes(services: Services) -> APIRouter:
    """The router of this file."""
    router = APIRouter(tags=["Comparisons"])
    comparisons = services.comparisons

    @router.post(
        "/api/compare",
        status_code=202,
        summary="Compare checkpoints",
        description=START,
        response_model=ComparisonOut,
        responses=refusals(400, 404, 408, 409, 413, 422, 504),
        openapi_extra=body(CompareBody, EXAMPLES),
    )
    async def start(request: Request) -> Response:
        require_admin(request)
        asked = await read_body(request, CompareBody)
        begun = await comparisons.start(asked.wanted(services), owner_of(request))
        return JSONResponse(comparison_out(begun).model_dump(), 202)

    @router.get("/api/compare", summary="Your comparisons, newest first", responses=refusals(422))
    async def listed(request: Request) -> ComparisonsOut:
        refuse_other_parameters(request, ())
        found = await comparisons.listed(owner_of(request))
        entries = (ComparisonEntryOut.model_validate(entry_values(each)) for each in found)
        return ComparisonsOut(comparisons=tuple(entries))

    @router.get(
        "/api/compare/{id}",
        summary="How far one is, with its answers",
        responses=refusals(404, 422),
    )
    async def one(request: Request, id: Id) -> ComparisonOut:
        return comparison_out(comparisons.get(owner_of(request), id))

    @router.get(
        "/api/compare/{id}/export",
        summary="One as a file",
        response_class=Response,
        responses=refusals(404, 422)
        | {200: {"content": {kind.split(";")[0]: {} for kind, _, _ in KINDS.values()}}},
    )
    async def export(request: Request, id: Id, format: Format = "json") -> Response:
        refuse_other_parameters(request, ("format",))
        return _file(comparisons.get(owner_of(request), id), format)

    @router.delete(
        "/api/compare/{id}",
        status_code=204,
        summary="End the one under way, or delete one that has ended",
        responses=refusals(404, 409, 422, 507),
    )
    async def delete(request: Request, id: Id) -> None:
        owner = owner_of(request)
        if comparisons.get(owner, id).active:
            await comparisons.cancel(owner, id)
        else:
            await comparisons.delete(owner, id)

    return router


def _file(found: Comparison, format: Format) -> Response:
    kind, suffix, written = KINDS[format]
    name = f'attachment; filename="comparison-{found.id[:8]}.{suffix}"'
    return Response(written(found), media_type=kind, headers={"content-disposition": name})
