"""Builds the REST application: every route of ours, and an answer of ours to all others of ours.

The page is mounted beside it by server.py; limits, log and headers are access.py's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from qwen_webui import __version__
from qwen_webui.api import problems
from qwen_webui.api.access import METHODS
from qwen_webui.api.advice import advice_routes
from qwen_webui.api.callers import login_cookie
from qwen_webui.api.compare import compare_routes
from qwen_webui.api.docs import DESCRIPTION, docs_routes
from qwen_webui.api.documents import document_routes
from qwen_webui.api.generate import generate_routes
from qwen_webui.api.health import health_routes
from qwen_webui.api.models import model_routes
from qwen_webui.api.monitor import monitor_routes
from qwen_webui.api.openai import openai_routes
from qwen_webui.api.structured import structured_routes
from qwen_webui.errors import MethodNotAllowed, NotFound
from qwen_webui.services import Services

OURS = ("/api", "/v1")  # everything else belongs to the page


def build_api(services: Services) -> FastAPI:
    """The application without the page and without the access layer."""
    # FastAPI's own documentation pages load their scripts from another host; docs.py has ours.
    api = FastAPI(
        title="qwen-webui", version=__version__, docs_url=None, redoc_url=None, openapi_url=None
    )
    problems.install(api)
    routers = (
        generate_routes(services),
        openai_routes(services),
        structured_routes(services),
        document_routes(services),
        model_routes(services),
        advice_routes(services),
        compare_routes(services),
        health_routes(services),
        monitor_routes(services),
        docs_routes(api, login_cookie(services.settings.port)),
    )
    for router in routers:
        api.include_router(router)
    _answer_the_rest(api, _methods(routers))
    return api


def _answer_the_rest(api: FastAPI, known: Mapping[str, set[str]]) -> None:
    """Wrong methods and unknown paths, which would otherwise fall through to the page."""

    async def nothing_here(request: Request) -> Response:
        raise NotFound(
            f"There is nothing at {request.url.path}. GET {DESCRIPTION} lists what there is."
        )

    for path, methods in known.items():
        others = [method for method in METHODS if method not in methods]
        api.add_route(path, _wrong_method(methods), methods=others, include_in_schema=False)
    for prefix in OURS:
        for path in (prefix, prefix + "/{rest:path}"):
            api.add_route(path, nothing_here, methods=list(METHODS), include_in_schema=False)


def _wrong_method(methods: Iterable[str]) -> Callable[[Request], Awaitable[Response]]:
    allowed = ", ".join(sorted(methods))

    async def wrong_method(request: Request) -> Response:
        error = MethodNotAllowed(
            f"{request.url.path[:200]} does not take {request.method}; it takes {allowed}."
        )
        response = problems.problem(error)
        response.headers["allow"] = allowed
        return response

    return wrong_method


def _methods(routers: Iterable[APIRouter]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for route in (r for router in routers for r in router.routes if isinstance(r, APIRoute)):
        found.setdefault(route.path, set()).update(route.methods or ())
    return found
