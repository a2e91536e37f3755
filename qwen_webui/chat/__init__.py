"""One chat turn: persona and history fitted to the context, asked of the loaded checkpoint."""

from qwen_webui.chat.assistant import Assistant, ContextUse

__all__ = ["Assistant", "ContextUse"]
