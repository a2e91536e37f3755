"""Documents as the page shows them: what a chip says, the diagnosis page by page, refusals.

Only makes text and values from values; what came from people is escaped here, or goes out as a
value that assets/documents.js shows as text.
"""

from __future__ import annotations

from typing import Any

from qwen_webui.documents import PageState
from qwen_webui.documents.diagnosis import Diagnosis, PageDiagnosis
from qwen_webui.documents.ocr import Ocr
from qwen_webui.errors import WebUIError
from qwen_webui.store import StoredDocument
from qwen_webui.types import Progress
from qwen_webui.ui import units
from qwen_webui.ui.markup import escape
from qwen_webui.ui.messages import percent
from qwen_webui.ui.texts import Texts

# What JavaScript holds of a document or of a step: JSON, made here and sent at once.
Json = dict[str, Any]
# Where the sentence of the error says less to a reader than ours.
_OURS = ("no_owner", "not_found", "internal_error")
# Pages that have nothing to read aloud, so nothing to open.
_BARE = ("empty", "scanned", "failed")


def chip(document: StoredDocument, t: Texts) -> Json:
    """A document above the box."""
    unread = len(document.to_recognise)
    return {
        "id": document.id,
        "name": document.name,
        "about": f"{amount(document.pages, document.unit, t)} · {units.size(document.bytes)}",
        "warning": t("documents.unreadable", pages=amount(unread, document.unit, t))
        if unread
        else "",
    }


def step(progress: Progress, t: Texts) -> Json:
    """How far the reading is; `share` in percent, if the whole is known."""
    doing = "recognising" if progress.stage == "recognising" else "reading"
    if not progress.total:
        text = t(f"documents.{doing}_begun")
        return {"text": text, "share": None}
    done, total = units.count(progress.done), units.count(progress.total)
    return {"text": t(f"documents.{doing}", done=done, total=total), "share": percent(progress)}


def refusal(error: WebUIError, t: Texts) -> Json:
    """Why a document was not taken, in the reader's language and in the error's own words."""
    meaning = t.error(error.code, error.message)
    if error.code in _OURS:
        return {"text": meaning, "detail": "", "code": error.code}
    if t.language == "en" or not meaning:
        return {"text": error.message, "detail": "", "code": error.code}
    return {"text": meaning, "detail": error.message, "code": error.code}


def amount(number: int, unit: str, t: Texts) -> str:
    """So many pages, slides, sheets or parts."""
    key = f"documents.{unit}_one" if number == 1 else f"documents.{unit}s"
    return t(key, count=units.count(number))


def diagnosis_html(
    document: StoredDocument,
    diagnosis: Diagnosis,
    *,
    room: int | None,
    context: int | None,
    ocr: Ocr,
    t: Texts,
) -> str:
    """The dialog of one document. `room`: tokens that a question leaves for a text, `context` the
    loaded model's; None while none is loaded, and then nothing counted tokens."""
    counted = context is not None
    return (
        f'<div class="qw-document" data-of="{escape(document.id)}">'
        + _totals(document, diagnosis, t, counted=counted)
        + _fits(diagnosis.tokens, room, context, t)
        + _offer(document, ocr, t)
        + _table(document, diagnosis, t, counted=counted)
        + "</div>"
    )


def _totals(document: StoredDocument, diagnosis: Diagnosis, t: Texts, *, counted: bool) -> str:
    facts = [
        (t("documents.length"), amount(document.pages, document.unit, t)),
        (t("documents.words"), units.count(diagnosis.words)),
        (t("documents.tokens"), units.count(diagnosis.tokens) if counted else "–"),
        (t("documents.size"), units.size(document.bytes)),
    ]
    rows = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts)
    return f'<dl class="qw-totals">{rows}</dl>'


def _fits(tokens: int, room: int | None, context: int | None, t: Texts) -> str:
    """How a question about it will be answered."""
    if room is None or context is None:
        return f'<p class="qw-fits">{escape(t("documents.no_model"))}</p>'
    if not tokens:
        return f'<p class="qw-fits qw-warned">{escape(t("documents.no_text"))}</p>'
    key = "documents.fits" if tokens <= room else "documents.too_long"
    share = min(100, round(100 * tokens / context))
    text = t(key, tokens=units.count(tokens), context=units.count(context))
    look = "low" if tokens <= room else "high"
    return (
        f'<p class="qw-fits"><span class="qw-gauge qw-{look}" aria-hidden="true">'
        f'<i style="width:{share}%"></i></span><span>{escape(text)}</span></p>'
    )


def _offer(document: StoredDocument, ocr: Ocr, t: Texts) -> str:
    """Reading by OCR what only OCR can, or how to get it."""
    if not document.to_recognise:
        return ""
    pages = amount(len(document.to_recognise), document.unit, t)
    if not ocr.available:
        more = f"{escape(t('documents.ocr_missing'))} <code>{escape(ocr.install)}</code>"
        button = ""
    else:
        more = escape(t("documents.ocr_lead"))
        if ocr.install:
            more += (
                f" {escape(t('documents.ocr_language'))} <code lang=en>{escape(ocr.install)}</code>"
            )
        button = (
            f'<button type="button" class="qw-primary" data-recognise="{escape(document.id)}">'
            f"{escape(t('documents.ocr_go', pages=pages))}</button>"
        )
    return (
        f'<div class="qw-ocr"><p><b>{escape(t("documents.unreadable", pages=pages))}</b> {more}</p>'
        f'{button}<div data-ocr-state role="status"></div></div>'
    )


def _table(document: StoredDocument, diagnosis: Diagnosis, t: Texts, *, counted: bool) -> str:
    heads = (
        (t(f"documents.{document.unit}"), ""),
        (t("documents.words"), "qw-number"),
        (t("documents.tokens"), "qw-number"),
        (t("documents.state"), ""),
    )
    head = "".join(
        f'<th scope="col"{f" class={look}" if look else ""}>{escape(name)}</th>'
        for name, look in heads
    )
    rows = "".join(_row(page, document, t, counted=counted) for page in diagnosis.pages)
    return f'<table class="qw-pages"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _row(page: PageDiagnosis, document: StoredDocument, t: Texts, *, counted: bool) -> str:
    number = units.count(page.number)
    name = f"{number} · {page.title}" if page.title else number
    shown = escape(name)
    if page.state not in _BARE and page.words:
        label = escape(t("documents.open_page", page=f"{t(f'documents.{document.unit}')} {name}"))
        shown = (
            f'<button type="button" class="qw-open-page" data-page="{page.number}" '
            f'aria-label="{label}">{shown}</button>'
        )
    tokens = units.count(page.tokens) if counted else "–"
    return (
        f'<tr class="qw-{page.state}"><th scope="row">{shown}</th>'
        f'<td class="qw-number">{units.count(page.words)}</td>'
        f'<td class="qw-number">{tokens}</td><td>{escape(state_words(page.state, t))}</td></tr>'
    )


def state_words(state: PageState, t: Texts) -> str:
    """What is known of a page, in words."""
    return t(f"documents.state_{state}")
