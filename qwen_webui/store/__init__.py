"""Conversations on disk: kept, listed, searched, exported and deleted, each for its owner."""

from qwen_webui.store.conversations import Store
from qwen_webui.store.values import Conversation, ConversationEntry, StoredMessage

__all__ = ["Conversation", "ConversationEntry", "Store", "StoredMessage"]
