"""The two languages say the same things, and every text that is asked for is there."""

from __future__ import annotations

import re
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
    composed = ("model.state_", "model.precision_", "errors.", "sampling.", "documents.")
    assert {k for k in known - used if not k.startswith(composed)} == set()
