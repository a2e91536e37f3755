"""The page's own files: all of them are used, small, and ask no other host for anything."""

from __future__ import annotations

import re

from qwen_webui.ui.document import STYLES
from qwen_webui.ui.routes import read_assets


def test_every_style_is_linked_and_every_script_imported() -> None:
    assets = read_assets()
    assert {f"{name}.css" for name in STYLES} == {n for n in assets if n.endswith(".css")}
    imported = {n for text in assets.values() for n in re.findall(r'from "\./(\w+\.js)"', text)}
    assert imported | {"page.js"} == {n for n in assets if n.endswith(".js")}


def test_rooms_are_small_and_stay_at_home() -> None:
    for name, text in read_assets().items():
        assert text.count("\n") < 300, name
        # The namespace of the drawn icons is a name, not an address that is asked.
        addresses = text.replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]+\.[a-z]+/|\beval\b\(|new Function", addresses), (
            name
        )
