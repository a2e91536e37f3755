"""Holds one engine, lends it, swaps it, brings it back. See ModelManager."""

from qwen_webui.models.manager import ModelManager

__all__ = ["ModelManager"]
