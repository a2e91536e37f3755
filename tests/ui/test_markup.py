"""Words of people and models on their way into the page."""

from __future__ import annotations

import pytest

from qwen_webui.ui import markup


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a < b and <b>c</b>", "a &lt; b and &lt;b>c&lt;/b>"),
        ("`<i>` and ``a ` <i>``", "`<i>` and ``a ` <i>``"),
        ("`open <i>", "`open &lt;i>"),
        ("``<i>` <u>", "``&lt;i>` &lt;u>"),
        ("```html\n<i>\n```\n<u>", "```html\n<i>\n```\n&lt;u>"),
        ("~~~\n```\n<i>\n~~~\n<u>", "~~~\n```\n<i>\n~~~\n&lt;u>"),
        ("````\n```\n<i>\n````\n<u>", "````\n```\n<i>\n````\n&lt;u>"),
        ("```\nnever closed <i>", "```\nnever closed <i>"),
        ("![alt](https://a.example/b.png)", "[alt](https://a.example/b.png)"),
        ("`![alt](x)`", "`![alt](x)`"),
        ("", ""),
        ("one\n\n\ntwo\n", "one\n\n\ntwo\n"),
    ],
)
def test_answers_keep_code_and_lose_tags(text: str, safe: str) -> None:
    assert markup.answer(text) == safe


def test_what_was_said_is_one_block_whatever_it_holds() -> None:
    block = markup.said('1 < 2 & "x"\r\n\r\n</div>\n$$a$$ \\(b\\)')
    assert "\n" not in block
    assert block.count("</div>") == 1
    assert "$$" not in block and "\\(" not in block
    assert "1 &lt; 2 &amp; &quot;x&quot;&#10;&#10;&lt;/div&gt;" in block
