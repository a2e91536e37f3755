"""Chat templates and token counts from a checkpoint's own files, without transformers."""

from qwen_webui.tokens.estimated import EstimatedTokenizer
from qwen_webui.tokens.tokenizer import ChatTokenizer, IncrementalDecoder

__all__ = ["ChatTokenizer", "EstimatedTokenizer", "IncrementalDecoder"]
