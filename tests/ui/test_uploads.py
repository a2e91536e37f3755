"""The page's routes for documents over plain HTTP: taken in, looked at, read by OCR, deleted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.documents.making import pdf, scanned
from tests.ui.hands import until
from tests.ui.site import Site

pytestmark = pytest.mark.slow

OWNER, STRANGER = "a" * 32, "b" * 32
BOOK = pdf(["The lighthouse has 12 lamps.", "The keeper is called Mira."])
SCAN = scanned(["HARVEST REPORT"], "Cover page with some words of its own")
XSS = '<img src=x onerror="alert(1)">'


def visitor(site: Site, owner: str, language: str = "en") -> httpx.Client:
    cookies = {"qw_owner": owner, "qw_lang": language}
    return httpx.Client(base_url=site.url, cookies=cookies, timeout=30)


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with visitor(site, OWNER) as client:
        yield client
    site.call(site.services.store.delete_all(OWNER))


@pytest.fixture
def stranger(site: Site) -> Iterator[httpx.Client]:
    with visitor(site, STRANGER) as client:
        yield client


def upload(
    client: httpx.Client, content: bytes, name: str, conversation: str | None = None
) -> list[dict[str, Any]]:
    """Every line of an upload."""
    asked = {"name": name} | ({} if conversation is None else {"conversation": conversation})
    answer = client.post("/ui/documents", params=asked, content=content)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines() if line]


def listed(client: httpx.Client, conversation: str | None = None) -> list[str]:
    asked = {} if conversation is None else {"conversation": conversation}
    return [d["name"] for d in client.get("/ui/documents", params=asked).json()["documents"]]


def test_an_upload_on_a_blank_page_begins_a_conversation(client: httpx.Client, site: Site) -> None:
    *steps, last = upload(client, BOOK, "book.pdf", "")
    assert {"text": "Reading page 2 of 2", "share": 100} in steps
    chip, conversation = last["document"], last["conversation"]
    assert (chip["name"], chip["warning"]) == ("book.pdf", "")
    assert chip["about"].startswith("2 pages · ")
    assert site.call(site.services.store.get(OWNER, conversation)).title == "book.pdf"
    upload(client, b"Some words", "more.txt", conversation)
    assert listed(client, conversation) == ["book.pdf", "more.txt"]
    assert listed(client) == []
    site.call(site.services.store.delete(OWNER, conversation))
    assert client.get(f"/ui/documents/{chip['id']}/diagnosis").status_code == 404


def test_what_is_too_many_or_too_much_is_said_in_both_languages(
    client: httpx.Client, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"name": "a.txt", "conversation": ""}
    with visitor(site, OWNER, "zh") as reader:
        monkeypatch.setattr("qwen_webui.documents.intake.MOST_OF_OWNER", 0)
        refused = reader.post("/ui/documents", params=asked, content=b"Some words" * 500_000)
        assert refused.status_code == 429
        error = refused.json()["error"]
        assert error["text"].startswith("同时上传的文档太多") and "on their way" in error["detail"]
        monkeypatch.undo()
        monkeypatch.setattr("qwen_webui.store.documents.MOST_BYTES", 10)
        (line,) = upload(reader, b"Some words and more", "a.txt", "")
        assert line["error"]["text"].startswith("你的文档已占满")
        assert line["error"]["code"] == "documents_full"
    (line,) = upload(client, b"Some words and more", "a.txt", "")
    assert "Delete some first." in line["error"]["text"]


@pytest.mark.parametrize(
    ("content", "name", "code"),
    [
        (b"PK\x03\x04 broken", "a.docx", "document_unreadable"),
        (b"", "a.txt", "document_empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "a.png", "unsupported_document"),
    ],
)
def test_what_cannot_be_read_leaves_nothing_and_says_why(
    client: httpx.Client, site: Site, content: bytes, name: str, code: str
) -> None:
    last = upload(client, content, name, "")[-1]
    assert last["error"]["code"] == code
    assert last["error"]["text"].endswith(".") and last["error"]["detail"] == ""
    assert site.call(site.services.store.list(OWNER)) == ()
    assert listed(client) == []
    with visitor(site, OWNER, "zh") as chinese:
        told = upload(chinese, content, name, "")[-1]["error"]
    assert told["text"] != last["error"]["text"] == told["detail"]


def test_a_conversation_that_has_begun_outlives_a_broken_file(
    client: httpx.Client, site: Site
) -> None:
    conversation = upload(client, BOOK, "book.pdf", "")[-1]["conversation"]
    assert "error" in upload(client, b"", "empty.txt", conversation)[-1]
    assert listed(client, conversation) == ["book.pdf"]


def test_nobody_else_sees_changes_or_fills_it(
    client: httpx.Client, stranger: httpx.Client, site: Site
) -> None:
    last = upload(client, SCAN, "scan.pdf", "")[-1]
    id, conversation = last["document"]["id"], last["conversation"]
    for method, path in (
        ("GET", f"/ui/documents/{id}/diagnosis"),
        ("GET", f"/ui/documents/{id}/pages/1"),
        ("POST", f"/ui/documents/{id}/recognise"),
        ("DELETE", f"/ui/documents/{id}"),
        ("GET", f"/ui/documents?conversation={conversation}"),
    ):
        mine, never = stranger.request(method, path), path.replace(id, "f" * 32)
        assert mine.status_code == 404, path
        if never != path:
            assert stranger.request(method, never).text == mine.text
    assert upload(stranger, BOOK, "x.pdf", conversation)[-1]["error"]["code"] == "not_found"
    sent = {"text": "words", "conversation": conversation}
    assert stranger.post("/ui/documents/paste", json=sent).status_code == 404
    assert listed(client, conversation) == ["scan.pdf"]


def test_the_diagnosis_says_what_was_read_of_each_page(client: httpx.Client) -> None:
    name = f"{XSS}.pdf"
    id = upload(client, SCAN, name, "")[-1]["document"]["id"]
    html = client.get(f"/ui/documents/{id}/diagnosis").text
    assert "a picture; no text in it" in html and "1 page unreadable" in html
    assert 'data-page="1"' in html and 'data-page="2"' not in html
    assert "the context holds 4,096. All of it is read for each question." in html
    page = client.get(f"/ui/documents/{id}/pages/1").text
    assert "Cover page with some words" in page and "<img" not in page + html
    for number in ("0", "3", "-1"):
        assert client.get(f"/ui/documents/{id}/pages/{number}").status_code == 404


def test_a_long_document_is_said_to_be_read_in_parts(client: httpx.Client) -> None:
    id = upload(client, b"The lamp is lit. " * 2_000, "long.txt", "")[-1]["document"]["id"]
    html = client.get(f"/ui/documents/{id}/diagnosis").text
    assert "A question is answered from the passages that fit it best" in html


def test_without_a_model_nothing_counts_tokens(client: httpx.Client, site: Site) -> None:
    id = upload(client, BOOK, "book.pdf", "")[-1]["document"]["id"]
    site.call(site.services.manager.unload())
    html = client.get(f"/ui/documents/{id}/diagnosis").text
    assert "shown when a model is loaded" in html and "<dd>–</dd>" in html


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="needs Tesseract")
def test_scanned_pages_are_read_by_ocr(client: httpx.Client) -> None:
    chip = upload(client, SCAN, "scan.pdf", "")[-1]["document"]
    assert chip["warning"] == "1 page unreadable"
    answer = client.post(f"/ui/documents/{chip['id']}/recognise", json={})
    *steps, last = [json.loads(line) for line in answer.text.splitlines() if line]
    assert {"text": "OCR: page 1 of 1", "share": 100} in steps
    assert last["document"] == chip | {"warning": ""}
    assert "HARVEST" in client.get(f"/ui/documents/{chip['id']}/pages/2").text
    assert "read by OCR" in client.get(f"/ui/documents/{chip['id']}/diagnosis").text


def test_without_tesseract_the_way_to_it_is_said(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qwen_webui.documents.ocr.shutil.which", lambda name: None)
    id = upload(client, SCAN, "scan.pdf", "")[-1]["document"]["id"]
    html = client.get(f"/ui/documents/{id}/diagnosis").text
    assert "apt install tesseract-ocr" in html and "data-recognise" not in html
    answer = client.post(f"/ui/documents/{id}/recognise", json={})
    assert json.loads(answer.text.splitlines()[-1])["error"]["code"] == "ocr_missing"


def test_a_pasted_text_becomes_a_document(client: httpx.Client, site: Site) -> None:
    text = "The keeper of the lamps writes a letter. " * 40
    made = client.post("/ui/documents/paste", json={"text": text, "conversation": ""}).json()
    assert made["document"]["name"] == "Pasted text: The keeper of the lamps writes"
    assert listed(client, made["conversation"]) == [made["document"]["name"]]
    for wrong in ({"text": 3, "conversation": ""}, {"text": "x", "conversation": 3}, {}):
        assert client.post("/ui/documents/paste", json=wrong).status_code == 422
    empty = client.post("/ui/documents/paste", json={"text": " ", "conversation": ""})
    assert empty.json()["error"]["code"] == "document_empty"
    assert len(site.call(site.services.store.list(OWNER))) == 1


def test_a_page_that_goes_away_leaves_nothing(client: httpx.Client, site: Site) -> None:
    long = pdf([f"Page {number}\n" + "word " * 400 for number in range(400)])
    asked = {"name": "long.pdf", "conversation": ""}
    with client.stream("POST", "/ui/documents", params=asked, content=long) as answer:
        next(answer.iter_lines())
    uploads = site.settings.data_dir / "uploads"
    until(lambda: not [*uploads.glob("incoming-*")])
    until(lambda: site.call(site.services.store.list(OWNER)) == ())


def test_removed_is_removed(client: httpx.Client, site: Site) -> None:
    last = upload(client, BOOK, "book.pdf", "")[-1]
    path = f"/ui/documents/{last['document']['id']}"
    assert client.delete(path).status_code == 204
    assert client.delete(path).status_code == 404
    assert listed(client, last["conversation"]) == []
