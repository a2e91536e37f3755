"""Every error that leaves the server has one shape; here is where others' errors get it."""

from __future__ import annotations

import logging

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from qwen_webui.errors import (
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
    WebUIError,
)

log = logging.getLogger(__name__)


# OpenAI's clients know 400 where HTTP, and the rest of this API, has 422 for a bad value.
OPENAI_PATHS = "/v1/"


def problem(error: WebUIError, *, path: str = "", close: bool = False) -> JSONResponse:
    """The response for `error` at `path`; `close` also ends the connection."""
    status = error.status
    if status == InvalidRequest.status and path.startswith(OPENAI_PATHS):
        status = 400
    headers = {"cache-control": "no-store"}
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    if error.status == Unauthorized.status:
        headers["www-authenticate"] = "Bearer"
    if close:
        headers["connection"] = "close"
    return JSONResponse(error.as_dict(), status, headers)


def internal_error() -> WebUIError:
    """What a client is told of a fault of ours: nothing of the inside."""
    return WebUIError(
        "The server failed on this request; its log has the details under the X-Request-ID of "
        "this answer. Send the request again."
    )


def install(api: FastAPI) -> None:
    """Give `api` handlers for our errors, FastAPI's, Starlette's and everything else."""

    @api.exception_handler(WebUIError)
    async def ours(request: Request, error: WebUIError) -> JSONResponse:
        return problem(error, path=request.url.path)

    @api.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        found = InvalidRequest(f"{name}: {first['msg']}.", param=name)
        return problem(found, path=request.url.path)

    @api.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == NotFound.status:
            return problem(NotFound(f"There is nothing at {request.url.path}."))
        if error.status_code == MethodNotAllowed.status:
            response = problem(_wrong_method(request))
            response.headers.update(error.headers or {})
            return response
        found = InvalidRequest(f"The request cannot be served: {error.detail}.")
        return problem(found, path=request.url.path)

    @api.exception_handler(Exception)
    async def unforeseen(_: Request, error: Exception) -> JSONResponse:
        return problem(internal_error())


def _wrong_method(request: Request) -> MethodNotAllowed:
    return MethodNotAllowed(f"{request.url.path} does not take {request.method}.")
