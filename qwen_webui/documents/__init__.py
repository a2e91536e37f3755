"""Documents: read in a process of their own, diagnosed, split, searched, planned for, and cited.

Pure but for the reading process: given a `count(text) -> int`, it returns values and plans. No
torch, no pydantic, no network. The heavy libraries (bm25s, jieba) come with planning and index;
this module imports only what the web process may have from its start.
"""

from qwen_webui.documents.values import Document, Limits, Page, PageState, Unit

__all__ = ["Document", "Limits", "Page", "PageState", "Unit"]
