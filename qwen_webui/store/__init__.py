"""Conversations and runs on disk: kept, listed, searched, exported, deleted, each for its owner."""

from qwen_webui.store.conversations import Store
from qwen_webui.store.values import (
    Conversation,
    ConversationEntry,
    JsonRun,
    JsonRunEntry,
    RunOutcome,
    StoredDocument,
    StoredMessage,
)

__all__ = [
    "Conversation",
    "ConversationEntry",
    "JsonRun",
    "JsonRunEntry",
    "RunOutcome",
    "Store",
    "StoredDocument",
    "StoredMessage",
]
