"""Documents in Chromium: attaching, dropping, asking, removing, too long a text; for everyone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.documents.making import pdf, scanned
from tests.ui.hands import PATIENCE, TEXT, Hands, until
from tests.ui.site import Site
from tests.ui.test_browser_access import serious, sideways

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BOOK = pdf(["The lighthouse has 12 lamps.", "The keeper is called Mira."])
SCAN = scanned(["HARVEST REPORT"], "Cover page with some words of its own")
XSS = '<img src=x onerror="alert(1)">.txt'
DROP = """([name, text]) => {
  const files = new DataTransfer();
  files.items.add(new File([text], name, { type: "text/plain" }));
  const tell = (kind) => document.querySelector("#qw-main").dispatchEvent(
    new DragEvent(kind, { dataTransfer: files, bubbles: true, cancelable: true }));
  tell("dragover");
  const shown = document.querySelector("#qw-main").classList.contains("qw-dropping");
  tell("drop");
  return shown;
}"""


def attach(page: Page, **files: bytes) -> None:
    """Choose files, called like the arguments with the last _ a dot."""
    chosen = [
        {"name": name[::-1].replace("_", ".", 1)[::-1], "mimeType": "text/plain", "buffer": content}
        for name, content in files.items()
    ]
    page.set_input_files("#qw-attach [data-attach-files]", chosen)  # type: ignore[arg-type]


def chip(page: Page, name: str) -> Locator:
    return page.locator("[data-documents=chat] .qw-doc", has_text=name)


def asked(page: Page) -> list[str]:
    """The ids that go with a message."""
    value = page.locator("#qw-do-documents").locator("textarea, input").input_value()
    return value.split(",") if value else []


def ready(page: Page, name: str) -> None:
    expect(chip(page, name).locator("[data-diagnose]")).to_be_visible(timeout=PATIENCE)


def test_documents_from_the_clip_to_their_end(me: Hands, tab: Callable[..., Hands]) -> None:
    page = me.page
    attach(page, book_pdf=BOOK, scan_pdf=SCAN, broken_docx=b"PK\x03\x04 no zip")
    ready(page, "book.pdf")
    ready(page, "scan.pdf")
    expect(chip(page, "scan.pdf")).to_contain_text("1 page unreadable")
    expect(chip(page, "broken.docx")).to_contain_text("damaged ZIP or Office file")
    until(lambda: bool(me.conversation()))
    assert me.listed() == ["book.pdf"] and len(asked(page)) == 2
    assert not serious(page)
    chip(page, "broken.docx").locator("[data-remove]").click()

    # What is unticked stays so, and everything is there after a reload.
    chip(page, "scan.pdf").get_by_role("checkbox").uncheck()
    until(lambda: len(asked(page)) == 1)
    page.reload()
    ready(page, "book.pdf")
    expect(chip(page, "scan.pdf").get_by_role("checkbox")).not_to_be_checked()
    expect(page.locator("[data-documents=chat] .qw-doc")).to_have_count(2)
    until(lambda: len(asked(page)) == 1)

    # They belong to their conversation and to their owner.
    me.new()
    expect(page.locator("[data-documents=chat]")).to_be_hidden()
    until(lambda: asked(page) == [])
    stranger = tab().open()
    assert stranger.listed() == []
    page.locator(".qw-list li a").first.click()
    ready(page, "book.pdf")

    chip(page, "book.pdf").locator("[data-remove]").click()
    dialog = page.locator("#qw-dialog")
    expect(dialog).to_contain_text("“book.pdf” and its text will be deleted")
    dialog.get_by_role("button", name="Remove").click()
    expect(chip(page, "book.pdf")).to_have_count(0)
    until(lambda: asked(page) == [])


def test_a_message_waits_for_the_documents(me: Hands, site: Site) -> None:
    page = me.page
    long = pdf([f"Page {number}\n" + "word " * 300 for number in range(300)])
    attach(page, long_pdf=long)
    expect(page.locator(".qw-doc progress")).to_be_visible()
    me.say("What is it about?")
    expect(page.locator(".qw-held")).to_be_visible()
    expect(page.locator(TEXT)).to_have_value("What is it about?")
    ready(page, "long.pdf")
    expect(page.locator(".user-row .qw-said")).to_have_count(1, timeout=PATIENCE)
    me.done()
    conversation = me.conversation()
    kept = site.call(site.services.documents.list(owner(page), conversation))
    assert [document.name for document in kept] == ["long.pdf"]
    assert me.listed() == ["What is it about?"]


def owner(page: Page) -> str:
    return next(c["value"] for c in page.context.cookies() if c["name"] == "qw_owner")


def test_the_diagnosis_its_pages_and_ocr(me: Hands) -> None:
    page = me.page
    attach(page, scan_pdf=SCAN)
    ready(page, "scan.pdf")
    chip(page, "scan.pdf").locator("[data-diagnose]").click()
    dialog = page.locator("#qw-dialog")
    expect(dialog.get_by_role("row")).to_have_count(3)
    expect(dialog).to_contain_text("a picture; no text in it")
    assert not serious(page)
    dialog.get_by_role("button", name="Read the text of Page 1").click()
    expect(dialog.locator(".qw-page-text")).to_contain_text("Cover page with some words")
    dialog.get_by_role("button", name="All pages").click()
    expect(dialog.locator("[data-page='1']")).to_be_focused()
    if shutil.which("tesseract"):
        dialog.get_by_role("button", name="Read 1 page by OCR").click()
        expect(dialog).to_contain_text("read by OCR", timeout=PATIENCE)
        page.keyboard.press("Escape")
        expect(chip(page, "scan.pdf")).not_to_contain_text("unreadable")


def test_dropped_files_and_hostile_names(me: Hands) -> None:
    page = me.page
    assert page.evaluate(DROP, [XSS, "Words of a file"]) is True
    expect(page.locator("[data-documents=chat] [data-diagnose]")).to_be_visible(timeout=PATIENCE)
    expect(chip(page, XSS)).to_be_visible()
    page.locator("[data-diagnose]").click()
    expect(page.locator("#qw-dialog h2")).to_have_text(XSS)
    assert page.locator("img[src=x]").count() == 0
    assert not page.locator("#qw-main.qw-dropping").count()


def test_a_text_that_is_too_long_becomes_a_document(me: Hands, site: Site) -> None:
    page, long = me.page, "lamp " * 2_000
    before = len(site.loader.requests)
    page.fill(TEXT, long)
    expect(page.locator(".qw-long")).to_be_visible(timeout=PATIENCE)
    page.press(TEXT, "Enter")
    expect(page.locator(".toast-body")).to_contain_text(re.compile("still in the box"))
    expect(page.locator(TEXT)).to_have_value(long)
    assert me.listed() == [] and len(site.loader.requests) == before
    page.get_by_role("button", name="Attach it as a document").click()
    ready(page, "Pasted text: lamp lamp")
    expect(page.locator(TEXT)).to_have_value("")
    expect(page.locator(TEXT)).to_be_focused()
    expect(page.locator(".qw-long")).to_have_count(0)
    until(lambda: len(asked(page)) == 1 and bool(me.conversation()))


def test_on_a_phone_in_chinese_and_the_dark(tab: Callable[..., Hands]) -> None:
    me = tab(locale="zh-CN", color_scheme="dark", viewport={"width": 390, "height": 780})
    page = me.open().ready().page
    attach(page, **{f"a_long_name_of_a_file_number_{n}_txt": b"Words" for n in range(4)})
    expect(page.locator("[data-documents=chat] [data-diagnose]")).to_have_count(4, timeout=PATIENCE)
    assert not sideways(page)
    assert not serious(page)
    page.locator("[data-diagnose]").first.click()
    expect(page.locator("#qw-dialog")).to_contain_text("每次提问都会读取全文")
    assert not sideways(page)


def test_a_json_request_from_a_document(me: Hands, site: Site) -> None:
    site.script(answer=lambda spec, request: '["a"]')
    page = me.page
    page.click("[data-tab-link=json]")
    page.fill("#qw-json-prompt", "List them")
    page.fill("#qw-json-schema", '{"type": "array", "items": {"type": "string"}}')
    chosen = {"name": "book.pdf", "mimeType": "application/pdf", "buffer": BOOK}
    page.set_input_files(".qw-json [data-attach-files]", chosen)  # type: ignore[arg-type]
    page.click("#qw-json-run")
    account = page.locator(".qw-account")
    expect(account).to_contain_text("Read whole: book.pdf (pages 1–2)", timeout=PATIENCE)
    expect(page.locator(".qw-standing[data-state=valid]")).to_be_visible(timeout=PATIENCE)
    assert not serious(page)
    page.reload()
    expect(account).to_contain_text("Nothing was left out.", timeout=PATIENCE)
    tick = page.locator("[data-documents=json]").get_by_role("checkbox")
    expect(tick).to_be_checked()
    page.click(".qw-new-run")
    expect(tick).not_to_be_checked()
    expect(account).to_be_hidden()
