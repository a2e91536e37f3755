"""One chat turn: persona and history fitted to the context, asked of the loaded checkpoint; and
one question about documents."""

from qwen_webui.chat.assistant import Assistant, ContextUse
from qwen_webui.chat.documents import Analyst, DocumentTurn, Libraries

__all__ = ["Analyst", "Assistant", "ContextUse", "DocumentTurn", "Libraries"]
