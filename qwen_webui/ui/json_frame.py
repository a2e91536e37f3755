"""The frame of the JSON tab: fields, buttons and the places that assets/json*.js fill. Only text.

The same for every visitor of a language; no blank line in it, which would end the HTML.
"""

from __future__ import annotations

from qwen_webui.limits import RANGES
from qwen_webui.ui.markup import escape
from qwen_webui.ui.texts import Texts

FIRST_LENGTH = 1024


def json_side(t: Texts) -> str:
    """Above the foot of the side column: a new request, and the runs."""
    return (
        '<div class="qw-runs"><button type="button" class="qw-new-run" data-do="json-new">'
        f"{escape(t('json.new'))}</button>"
        f'<div class="qw-run-list" data-runs tabindex="-1" role="region" '
        f'aria-label="{escape(t("json.runs"))}"></div>'
        "</div>"
    )


def json_main(t: Texts) -> str:
    """Below the tabs: what is asked at the left, what came of it at the right."""
    return f'<div class="qw-json">{_examples(t)}{_ask(t)}{_answer(t)}</div>'


def _examples(t: Texts) -> str:
    return (
        '<div class="qw-json-examples"><h2 id="qw-json-examples">'
        f"{escape(t('json.examples'))}</h2>"
        '<div role="group" aria-labelledby="qw-json-examples" data-json="examples"></div>'
        '<p class="qw-quiet" data-json="about">'
        f"{escape(t('json.examples_hint'))}</p></div>"
    )


def _ask(t: Texts) -> str:
    bounds = RANGES["max_new_tokens"]
    return (
        f'<section class="qw-json-ask" aria-label="{escape(t("json.request"))}">'
        f'<div class="qw-json-head"><label for="qw-json-prompt">{escape(t("json.prompt"))}</label>'
        f"{_button('attach', t('documents.json_attach'))}</div>"
        '<textarea id="qw-json-prompt" rows="4" '
        f'placeholder="{escape(t("json.prompt_hint"))}"></textarea>'
        f"{_documents(t)}"
        f'<div class="qw-json-head"><label for="qw-json-schema">{escape(t("json.schema"))}</label>'
        f"{_button('json-infer', t('json.infer'))}{_button('json-format', t('json.format'))}</div>"
        '<div class="qw-editor"><div class="qw-gutter" aria-hidden="true"></div>'
        '<div class="qw-page"><pre aria-hidden="true"></pre>'
        '<textarea id="qw-json-schema" spellcheck="false" autocapitalize="off" autocomplete="off" '
        'wrap="off" aria-describedby="qw-json-verdict"></textarea></div></div>'
        '<div id="qw-json-verdict" class="qw-checked" data-json="problems" role="status"></div>'
        '<div class="qw-json-go"><label for="qw-json-most">'
        f"{escape(t('sampling.max_new_tokens'))}</label>"
        f'<input id="qw-json-most" type="number" inputmode="numeric" min="{bounds.low}" '
        f'max="{bounds.high}" step="1" value="{FIRST_LENGTH}">'
        f'<span class="qw-quiet">{escape(t("json.in_tokens"))}</span>'
        f'<button type="button" id="qw-json-stop" data-do="json-stop" hidden>'
        f"{escape(t('chat.stop'))}</button>"
        f'<button type="button" id="qw-json-run" data-do="json-run" '
        f'title="{escape(t("json.run_hint"))}">{escape(t("json.run"))}</button></div></section>'
    )


def _documents(t: Texts) -> str:
    """Below the prompt: what the request is answered from, filled by assets/jsondocuments.js."""
    return (
        '<input type="file" multiple hidden data-attach-files>'
        f'<div class="qw-documents" data-documents="json" role="group" hidden '
        f'title="{escape(t("documents.json_documents_hint"))}" '
        f'aria-label="{escape(t("documents.json_documents"))}"></div>'
    )


def _answer(t: Texts) -> str:
    views = "".join(
        f'<button type="button" data-view="{name}" aria-pressed="{str(name == "pretty").lower()}">'
        f"{escape(label)}</button>"
        for name, label in (
            ("pretty", t("json.pretty")),
            ("raw", t("json.raw")),
            ("code", t("json.code")),
        )
    )
    return (
        f'<section class="qw-json-answer" aria-label="{escape(t("json.answer"))}">'
        f'<div class="qw-json-head"><div class="qw-segments" role="group" '
        f'aria-label="{escape(t("json.view"))}">{views}</div>'
        f"{_button('json-copy', t('chat.copy'), hidden=True)}"
        f"{_file('file', t('json.file'), t('json.file_title'))}"
        f"{_file('csv', t('json.csv'), t('json.csv_title'))}"
        "</div>"
        '<div class="qw-standing" data-json="standing" role="status"></div>'
        f'<div class="qw-out" data-json="out" tabindex="0" role="region" '
        f'aria-label="{escape(t("json.answer"))}">{_nothing_yet(t)}</div>'
        '<div class="qw-account" data-json="account" role="note" hidden></div></section>'
    )


def _nothing_yet(t: Texts) -> str:
    steps = "".join(
        f"<li>{escape(text)}</li>"
        for text in (t("json.step_schema"), t("json.step_run"), t("json.step_use"))
    )
    return (
        f'<div class="qw-nothing"><h2>{escape(t("json.welcome"))}</h2>'
        f"<p>{escape(t('json.lead'))}</p><ol>{steps}</ol></div>"
    )


def _file(name: str, label: str, title: str) -> str:
    return (
        f'<a class="qw-small-button qw-download" data-json="{name}" download hidden '
        f'title="{escape(title)}" aria-label="{escape(title)}">{escape(label)}</a>'
    )


def _button(do: str, label: str, *, hidden: bool = False) -> str:
    return (
        f'<button type="button" class="qw-small-button" data-do="{do}"'
        f"{' hidden' if hidden else ''}>{escape(label)}</button>"
    )
