"""Run Qwen2.5 in few bits on your own card: a chat page, a REST API and a model manager."""

__version__ = "0.1.0"
