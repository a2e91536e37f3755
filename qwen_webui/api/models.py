"""The checkpoints, what is loaded, loads and unloads; and the personas."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qwen_webui.api.access import require_admin
from qwen_webui.api.described import Examples, body, refusals
from qwen_webui.api.shapes import (
    CheckpointOut,
    MemoryOut,
    ModelsOut,
    PersonaOut,
    PersonasOut,
    StatusOut,
    SwapOut,
)
from qwen_webui.api.wire import LoadBody, read_body
from qwen_webui.personas import Persona
from qwen_webui.services import Services

LOAD = """\
Load a checkpoint by its name in GET /api/models, swapping it for the one that serves.

Answers 202 at once and /readyz is 503 until it is ready; with `"wait": true` it answers when the
load is done, with its report or the reason it failed. A load while another is under way takes its
turn; with `"wait": false` it is refused with 409 instead. A checkpoint that cannot be loaded leaves
the one before in place.
"""

EXAMPLES: Examples = {
    "At once": {"name": "demo-gptq-int4"},
    "Wait for it": {"name": "demo-gptq-int4", "wait": True},
}


def model_routes(services: Services) -> APIRouter:
    """The router of this file."""
    router = APIRouter(tags=["Checkpoints"])
    manager = services.manager

    @router.get(
        "/api/models",
        summary="State, memory in use, and every checkpoint",
        responses=refusals(504),
    )
    async def models() -> ModelsOut:
        memory = await manager.memory()
        rows = await manager.forecasts()
        status = StatusOut.model_validate(manager.status())
        return ModelsOut(
            **dict(status),
            memory=MemoryOut.model_validate(memory),
            checkpoints=tuple(CheckpointOut.of(spec, forecast) for spec, forecast in rows),
        )

    @router.post(
        "/api/models/load",
        summary="Load a checkpoint",
        description=LOAD,
        response_model=SwapOut,
        responses=refusals(400, 404, 408, 409, 413, 422, 502, 504, 507)
        | {202: {"model": StatusOut, "description": "The load was begun, or waits its turn"}},
        openapi_extra=body(LoadBody, EXAMPLES),
    )
    async def load(request: Request) -> Response:
        require_admin(request)
        asked = await read_body(request, LoadBody)
        if asked.wait:
            report = await manager.load(asked.name)
            return JSONResponse(SwapOut.model_validate(report).model_dump())
        manager.start_load(asked.name, wait_turn=asked.wait is None)
        return JSONResponse(_status(services), 202)

    @router.post(
        "/api/models/cancel", summary="Give up the load under way", responses=refusals(504)
    )
    async def cancel(request: Request) -> StatusOut:
        require_admin(request)
        await manager.cancel_load()
        return StatusOut.model_validate(manager.status())

    @router.post(
        "/api/models/unload", summary="Unload what is loaded", responses=refusals(409, 504)
    )
    async def unload(request: Request) -> StatusOut:
        require_admin(request)
        await manager.unload()
        return StatusOut.model_validate(manager.status())

    @router.get("/api/personas", summary="The system-role presets", responses=refusals())
    async def personas() -> PersonasOut:
        return PersonasOut(personas=tuple(_persona(p) for p in services.personas.all()))

    return router


def _status(services: Services) -> dict[str, object]:
    return StatusOut.model_validate(services.manager.status()).model_dump()


def _persona(persona: Persona) -> PersonaOut:
    set_values = {k: v for k, v in asdict(persona.sampling).items() if v not in (None, ())}
    return PersonaOut.model_validate(
        {
            "id": persona.id,
            "name": persona.name,
            "description": persona.description,
            "system": persona.system,
            "examples": persona.examples,
            "sampling": set_values,
        }
    )
