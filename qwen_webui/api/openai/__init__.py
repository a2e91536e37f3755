"""The API that programs written for OpenAI's speak: /v1. What of it is meant, and what is refused,
stands in the descriptions of the fields; nothing is ignored silently."""

from qwen_webui.api.openai.routes import openai_routes

__all__ = ["openai_routes"]
