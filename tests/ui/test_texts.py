"""The two languages say the same things, and every text that is asked for is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

from qwen_webui.ui.texts import AllTexts

UI = Path(__file__).parent.parent.parent / "qwen_webui" / "ui"


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_both_languages_have_the_same_texts_with_the_same_places() -> None:
    texts = AllTexts()
    english, chinese = texts["en"].all(), texts["zh"].all()
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert places(text) == places(chinese[key]), key


# Errors whose codes say in either language all there is to say.
SAID_BY_CODE = {"ocr_missing", "document_without_text", "documents_too_large"}


def sentences() -> Iterator[str]:
    """How the sentences begin that readers refuse a file with."""
    for path in sorted((UI.parent / "documents").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                not isinstance(call, ast.Call)
                or not isinstance(call.func, ast.Name)
                or not call.args
            ):
                continue
            codes = {
                word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)
            }
            refused = ("DocumentError", "UnsupportedDocument", "PayloadTooLarge", "Refused")
            if call.func.id in refused and not codes & SAID_BY_CODE:
                said = call.args[0]
                first = said.values[0] if isinstance(said, ast.JoinedStr) else said
                if isinstance(first, ast.Constant):
                    yield str(first.value)


def test_every_sentence_of_the_readers_has_a_chinese_one_and_none_is_stale() -> None:
    texts, raised = AllTexts(), list(sentences())
    begins = [v for k, v in texts["en"].all().items() if k.startswith("refusals.")]
    for sentence in raised:
        known = any(sentence.startswith(one) or one.startswith(sentence) for one in begins)
        assert known or sentence == "The file is ", sentence
    for one in begins:
        assert any(said.startswith(one) or one.startswith(said) for said in raised), one
    said = "The CSV file cannot be read as a table: a quotation mark is never closed."
    assert texts["zh"].error("document_unreadable", said).startswith("这个 CSV 文件读不成表格")
    assert texts["en"].error("document_unreadable", said) == "The document cannot be read."
    assert texts["zh"].error("document_unreadable", "Unknown.") == "无法读取这个文档。"


def test_chinese_is_chinese() -> None:
    same = {"Markdown", "JSON", "CSV"}
    for key, text in AllTexts()["zh"].all().items():
        if key in ("page.language", "about.python") or "precision" in key or "top_" in key:
            continue
        assert re.search(r"[\u4e00-\u9fff]", text) or "{" in text or text in same, key


def test_every_key_in_the_code_is_a_text_and_every_text_is_used() -> None:
    known = set(AllTexts()["en"].all())
    sources = [p.read_text(encoding="utf-8") for p in (*UI.glob("*.py"), *UI.glob("assets/*.js"))]
    quoted = {
        k for source in sources for k in re.findall(r"[\"']([a-z]+\.[a-z0-9_]+)[\"']", source)
    }
    sections = {key.split(".")[0] for key in known}
    used = {key for key in quoted if key.split(".")[0] in sections and "." in key}
    files = {"page.js", "page.css", "chat.js", "side.js"}
    assert used - files <= known, used - files - known
    # Put together from parts in the code: f"model.state_{...}" and the like.
    composed = (
        "refusals.",
        "model.state_",
        "model.precision_",
        "errors.",
        "sampling.",
        "documents.",
    )
    assert {k for k in known - used if not k.startswith(composed)} == set()
