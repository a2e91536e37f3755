"""The dialog that shows how programs ask the same model. Only text."""

from __future__ import annotations

import json

from qwen_webui.ui.markup import escape
from qwen_webui.ui.texts import Texts


def about_html(address: str, t: Texts, *, keyed: bool) -> str:
    """`address` is the page's own, without a slash at its end; `keyed` when programs, too, must
    show a key, which the reader has to fill in."""
    url = f"{address}/api/generate"
    body = {"prompt": t("about.question"), "max_new_tokens": 512, "temperature": 0.7}
    shown = '  -H "Authorization: Bearer $QWEN_WEBUI_API_KEY" \\\n' if keyed else ""
    header = (
        '    headers={"Authorization": "Bearer " + os.environ["QWEN_WEBUI_API_KEY"]},\n'
        if keyed
        else ""
    )
    curl = (
        f"curl {url} \\\n  -H 'Content-Type: application/json' \\\n"
        f"{shown}  -d '{json.dumps(body, ensure_ascii=False)}'"
    )
    call = json.dumps(body, ensure_ascii=False, indent=4).replace("\n", "\n    ")
    python = (
        f"{'import os' if keyed else ''}\nimport requests\n\nanswer = requests.post(\n".lstrip()
        + f'    "{url}",\n    json={call},\n{header})\nprint(answer.json()["text"])'
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
