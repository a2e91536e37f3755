"""The routes of /v1."""

from __future__ import annotations

from fastapi import APIRouter

from qwen_webui.api.openai.chat import add_chat_routes
from qwen_webui.api.openai.completions import add_completion_routes
from qwen_webui.api.openai.models import add_openai_model_routes
from qwen_webui.services import Services


def openai_routes(services: Services) -> APIRouter:
    """The router of this folder."""
    router = APIRouter(tags=["OpenAI"])
    for add in (add_openai_model_routes, add_chat_routes, add_completion_routes):
        add(router, services)
    return router
