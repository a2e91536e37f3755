"""Another OpenAI-compatible server (vLLM, llama-server, one of these) in the place of a worker."""

from qwen_webui.engines.openai.connection import ServedModel
from qwen_webui.engines.openai.loader import OpenAILoader

__all__ = ["OpenAILoader", "ServedModel"]
