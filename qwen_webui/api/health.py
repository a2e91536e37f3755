"""/healthz says that the process lives, /readyz that a model answers. Neither waits."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from qwen_webui.api.described import refusals
from qwen_webui.api.problems import problem
from qwen_webui.errors import ModelNotReady, ShuttingDown
from qwen_webui.models.manager import RETRY_AFTER_LOAD, SHUTTING_DOWN
from qwen_webui.services import Services

OPEN: dict[str, list[object]] = {"security": []}  # answered without a key


class AliveOut(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class ReadyOut(BaseModel):
    """`model` answers requests."""

    status: Literal["ready"]
    model: str


def health_routes(services: Services) -> APIRouter:
    """The router of this file."""
    router = APIRouter(tags=["Health"])

    @router.get(
        "/healthz",
        summary="The process lives",
        response_model=AliveOut,
        responses=refusals(keyed=False),
        openapi_extra=OPEN,
    )
    async def healthz() -> Response:
        return JSONResponse({"status": "ok"})

    @router.get(
        "/readyz",
        summary="A model answers",
        response_model=ReadyOut,
        responses=refusals(keyed=False),
        openapi_extra=OPEN,
    )
    async def readyz() -> Response:
        status = services.manager.status()
        if services.stopping.is_set():
            return problem(ShuttingDown(SHUTTING_DOWN, retry_after=RETRY_AFTER_LOAD))
        if status.state == "ready":
            return JSONResponse({"status": "ready", "model": status.name})
        return problem(
            ModelNotReady(
                status.held_for
                or status.error
                or f"No model is ready to answer; the state is {status.state}.",
                code=status.error_code if status.state == "failed" else None,
                retry_after=RETRY_AFTER_LOAD,
            )
        )

    return router
