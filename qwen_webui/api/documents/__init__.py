"""Documents over the API: uploaded, looked at, asked, read by OCR, deleted; each caller's own."""

from qwen_webui.api.documents.routes import document_routes

__all__ = ["document_routes"]
