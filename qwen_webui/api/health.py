"""/healthz says that the process lives, /readyz that a model answers. Neither waits."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from qwen_webui.api.problems import problem
from qwen_webui.errors import ModelNotReady, ShuttingDown
from qwen_webui.models.manager import RETRY_AFTER_LOAD, SHUTTING_DOWN
from qwen_webui.services import Services


def health_routes(services: Services) -> APIRouter:
    """The router of this file."""
    router = APIRouter()

    @router.get("/healthz", summary="The process lives")
    async def healthz() -> Response:
        return JSONResponse({"status": "ok"})

    @router.get("/readyz", summary="A model answers")
    async def readyz() -> Response:
        status = services.manager.status()
        if services.stopping.is_set():
            return problem(ShuttingDown(SHUTTING_DOWN, retry_after=RETRY_AFTER_LOAD))
        if status.state == "ready":
            return JSONResponse({"status": "ready", "model": status.name})
        return problem(
            ModelNotReady(
                status.error or f"No model is ready to answer; the state is {status.state}.",
                code=status.error_code if status.state == "failed" else None,
                retry_after=RETRY_AFTER_LOAD,
            )
        )

    return router
