"""The dialog that shows how programs ask the same model. Only text."""

from __future__ import annotations

import json

from qwen_webui.ui.markup import escape
from qwen_webui.ui.texts import Texts


def about_html(address: str, t: Texts) -> str:
    """`address` is the page's own, without a slash at its end."""
    url = f"{address}/api/generate"
    body = {"prompt": t("about.question"), "max_new_tokens": 512, "temperature": 0.7}
    curl = (
        f"curl {url} \\\n  -H 'Content-Type: application/json' \\\n"
        f"  -d '{json.dumps(body, ensure_ascii=False)}'"
    )
    call = json.dumps(body, ensure_ascii=False, indent=4).replace("\n", "\n    ")
    python = (
        "import requests\n\nanswer = requests.post(\n"
        f'    "{url}",\n    json={call},\n)\nprint(answer.json()["text"])'
    )
    return (
        f'<div class="qw-about"><p class="qw-lead">{escape(t("about.lead"))}</p>'
        f"{_code(t('about.curl'), curl, t)}{_code(t('about.python'), python, t)}"
        f"<p>{escape(t('about.more'))}</p></div>"
    )


def _code(title: str, text: str, t: Texts) -> str:
    return (
        f'<section><h3>{escape(title)}</h3><pre tabindex="0"><code>{escape(text)}</code></pre>'
        f'<button type="button" class="qw-copy" data-do="copy-code">{escape(t("about.copy"))}'
        "</button></section>"
    )
