"""A question about documents through the page's own event and routes: read, cited, kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from qwen_webui.documents import Document, Page
from qwen_webui.errors import GenerationFailed
from qwen_webui.store import Conversation
from qwen_webui.types import (
    AskedDocument,
    CallRead,
    CheckpointSpec,
    GenerationRequest,
    Sources,
    Span,
)
from qwen_webui.ui.citations import answered, writing
from qwen_webui.ui.page_view import page_view
from qwen_webui.ui.reading_line import reading_line
from qwen_webui.ui.texts import AllTexts
from tests.documents.making import pdf
from tests.ui import events
from tests.ui.site import Site
from tests.ui.test_uploads import visitor

OWNER, STRANGER = "a" * 32, "b" * 32
CAPTAIN = "The captain of the Lorna is Pella Grint."
LENGTH = "The Lorna is 48 metres long."
BOOK = pdf(["The Lorna is a ship built in Korva.", CAPTAIN, LENGTH])
# More than the context of the scripted engine holds.
LONG = pdf(
    [f"Chapter {n}. " + f"The river of valley {n} is calm and cold. " * 6 for n in range(30)]
)
ANSWER = (
    f'It says "{CAPTAIN}" [p. 2], and **"{LENGTH}" [p. 1]**, and\n'
    '"The Lorna sank in the winter of 1911." [p. 3]\n\n`"code of it" [p. 2]` [p. 1] [p. 9]'
)
VERDICTS = ["verified", "other_page", "not_found", "too_short", "no_page"]
TEXTS = AllTexts()


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with visitor(site, OWNER) as client:
        yield client
    site.call(site.services.store.delete_all(OWNER))


def upload(client: httpx.Client, content: bytes, name: str, conversation: str = "") -> Any:
    asked = {"name": name, "conversation": conversation}
    lines = client.post("/ui/documents", params=asked, content=content).text.splitlines()
    return json.loads(lines[-1])


def ask(client: httpx.Client, text: str, conversation: str, *documents: str) -> dict[str, Any]:
    """Send the message as the page does; how the event ended."""
    number = events.handler(client, "qw-text", "submit")
    form = [conversation, "general", "", "{}", 0.7, 0.8, 20, 1.05, 0, "", ",".join(documents)]
    return events.run(client, number, [text, "", *form])


def kept(site: Site, conversation: str) -> Conversation:
    return site.call(site.services.store.get(OWNER, conversation))


def told(client: httpx.Client, conversation: str, path: str) -> dict[str, str]:
    answer = client.get(f"/ui/message/{conversation}/1/{path}")
    assert answer.status_code == 200, answer.text
    dialog: dict[str, str] = answer.json()
    return dialog


@pytest.fixture
def asked(client: httpx.Client, site: Site) -> tuple[str, str]:
    """A conversation with a question, and its document."""
    site.script(answer=lambda spec, request: ANSWER)
    first = upload(client, BOOK, "<b>lorna.pdf")
    conversation, document = first["conversation"], first["document"]["id"]
    assert ask(client, "Who is the captain?", conversation, document)["success"]
    return conversation, document


def test_the_answer_is_kept_with_what_was_read_and_what_its_quotations_are_worth(
    client: httpx.Client, site: Site, asked: tuple[str, str]
) -> None:
    conversation, document = asked
    assert kept(site, conversation).title == "Who is the captain?"
    question, answer = kept(site, conversation).messages[-2:]
    assert (question.content, answer.content) == ("Who is the captain?", ANSWER)
    assert answer.sources is not None and answer.citations is not None
    assert answer.sources.mode == "whole" and answer.sources.documents[0].id == document
    found = [c.verdict for c in answer.citations.items if "code" not in c.quote]
    assert found == [v for v in VERDICTS if v != "too_short"]
    # The document was sent, not only the question.
    assert any(CAPTAIN in m.content for m in site.loader.requests[-1].messages)


def test_the_dialogs_of_an_answer(client: httpx.Client, site: Site, asked: tuple[str, str]) -> None:
    conversation, document = asked
    verified = told(client, conversation, "citation/0")
    assert verified["title"] == "<b>lorna.pdf"
    assert f"<mark data-first>{CAPTAIN.rstrip('.')}</mark>" in verified["html"]
    assert "on page 2" in verified["html"] and "<b>" not in verified["html"]
    assert "Page 2 of 3 pages" in verified["html"]
    turned = told(client, conversation, "citation/0?page=3")["html"]
    assert LENGTH in turned and "<mark" not in turned
    assert "on page 3, not 1" in told(client, conversation, "citation/1")["html"]
    missing = told(client, conversation, "citation/2")["html"]
    assert "not found in the document" in missing and "3 pages" in missing
    assert "<mark" not in missing
    assert LENGTH in told(client, conversation, "page/1/3")["html"]
    account = told(client, conversation, "sources")["html"]
    assert "From the whole document (3 pages, " in account and "1–3" in account
    with visitor(site, OWNER, "zh") as reader:
        assert "在第 2 页" in told(reader, conversation, "citation/0")["html"]
        assert "依据整篇文档（3 页" in told(reader, conversation, "sources")["html"]
    with visitor(site, STRANGER) as stranger:
        for path in ("citation/0", "page/1/3", "sources"):
            assert stranger.get(f"/ui/message/{conversation}/1/{path}").status_code == 404
    for path in ("citation/99", "citation/-1", "page/2/1", "page/1/4", "page/0/1"):
        assert client.get(f"/ui/message/{conversation}/1/{path}").status_code == 404
    assert client.get(f"/ui/message/{conversation}/0/sources").status_code == 404
    client.delete(f"/ui/documents/{document}")
    for path in ("citation/0", "page/1/2"):
        assert "has been deleted since" in told(client, conversation, path)["html"]


def test_a_checked_answer_is_not_replaced_by_one_without_its_documents(
    client: httpx.Client, site: Site, asked: tuple[str, str]
) -> None:
    conversation, document = asked
    number = events.handler(client, "qw-do-regenerate", "submit")
    form = [conversation, "general", "", "{}", 0.7, 0.8, 20, 1.05, 0, ""]
    before, sent = kept(site, conversation).messages, len(site.loader.requests)
    assert not events.run(client, number, ["1", *form, ""])["success"]
    assert kept(site, conversation).messages == before and len(site.loader.requests) == sent
    assert events.run(client, number, ["1", *form, document])["success"]
    assert kept(site, conversation).messages[-1].sources is not None


def test_a_long_document_is_read_in_part_or_part_after_part(
    client: httpx.Client, site: Site
) -> None:
    site.script(answer=lambda spec, request: "They are calm.")
    first = upload(client, LONG, "long.pdf")
    conversation, document = first["conversation"], first["document"]["id"]
    assert ask(client, "What of valley 7?", conversation, document)["success"]
    assert ask(client, "Summarise it", conversation, document)["success"]
    messages = kept(site, conversation).messages
    modes = [m.sources.mode for m in messages if m.sources is not None]
    assert modes == ["passages", "map_reduce"]
    assert "the rest was not read" in told(client, conversation, "sources")["html"]
    last = client.get(f"/ui/message/{conversation}/3/sources").json()["html"]
    assert "From all 30 pages, read in" in last and "answered from the notes of calls" in last


def test_what_was_read_before_an_error_is_kept_and_the_question_can_be_asked_again(
    client: httpx.Client, site: Site
) -> None:
    def failing(spec: CheckpointSpec, request: GenerationRequest) -> str:
        if "part 3 of" in request.messages[-1].content:
            raise GenerationFailed("The model gave no number.")
        return "Calm."

    first = upload(client, LONG, "long.pdf")
    conversation, document = first["conversation"], first["document"]["id"]
    site.script(answer=failing)
    ended = json.dumps(ask(client, "Summarise it", conversation, document))
    assert "after reading 2 parts" in ended and "The model gave no number." in ended
    answer = kept(site, conversation).messages[-1]
    assert (answer.content, answer.stopped, answer.finish_reason) == ("", True, None)
    assert answer.sources is not None
    assert [call.number for call in answer.sources.calls] == [1, 2]
    pages = {span.page for span in (*answer.sources.read, *answer.sources.left_out)}
    assert pages == set(range(1, 31)), "what the others were to read is left out"
    account = told(client, conversation, "sources")["html"]
    assert "after reading 2 parts" in account and "Left out" in account
    site.script(answer=lambda spec, request: "Calm.")
    again = events.handler(client, "qw-do-regenerate", "submit")
    form = [conversation, "general", "", "{}", 0.7, 0.8, 20, 1.05, 0, "", document]
    assert events.run(client, again, ["1", *form])["success"]
    assert [m.content for m in kept(site, conversation).messages] == ["Summarise it", "Calm."]


def test_answered_again_and_edited_the_question_keeps_its_documents(
    client: httpx.Client, site: Site, asked: tuple[str, str]
) -> None:
    conversation, document = asked
    form = [conversation, "general", "", "{}", 0.7, 0.8, 20, 1.05, 0, "", document]
    site.script(answer=lambda spec, request: f'Again: "{CAPTAIN}" [p. 2]')
    again = events.handler(client, "qw-do-regenerate", "submit")
    assert events.run(client, again, ["1", *form])["success"]
    edit = events.handler(client, "qw-text", "submit")
    assert len(kept(site, conversation).messages) == 2
    assert events.run(client, edit, ["And who sails her?", "0", *form])["success"]
    question, answer = kept(site, conversation).messages
    assert question.content == "And who sails her?"
    assert answer.citations is not None and answer.citations.items[0].verified
    assert CAPTAIN in site.loader.requests[-1].messages[-1].content
    # Asked without one, nothing is read and nothing is cited.
    assert events.run(client, edit, ["And who sails her?", "0", *form[:-1], ""])["success"]
    answer = kept(site, conversation).messages[-1]
    assert (answer.sources, answer.citations) == (None, None)


def test_a_question_about_a_document_that_is_gone_is_answered_with_what_to_do(
    client: httpx.Client, site: Site
) -> None:
    first = upload(client, BOOK, "lorna.pdf")
    ended = ask(client, "Who?", first["conversation"], "c" * 32)
    assert "has been deleted. Remove it above" in json.dumps(ended)
    assert [m.role for m in kept(site, first["conversation"]).messages] == ["user"]
    assert not ask(client, "Who?", first["conversation"], "../../etc")["success"]


def test_marks_become_links_outside_of_code_and_formulas_only(
    site: Site, client: httpx.Client, asked: tuple[str, str]
) -> None:
    html = answered(kept(site, asked[0]).messages[-1], 1, TEXTS["en"])
    assert re.findall(r'href="#qw-(\w+-1-\d+)', html) == [
        *("cite-1-0", "cite-1-1", "cite-1-2"),
        "page-1-1",
        *re.findall(r"cite-1-\d+", html)[3:],
    ]
    assert '`"code of it" [p. 2]`' in html
    # Without the elements, and what is ours, it is the answer.
    bare = re.sub(r"<[^>]+>", "", re.sub(r'<span class="qw-ours">.*?</span>', "", html))
    assert bare == ANSWER
    assert "qw-verified" not in writing(ANSWER) and writing(ANSWER).count("qw-cite") == 5
    assert "<i>" not in writing('<i>"quoted" [p. 1]')


def test_the_line_above_says_what_was_not_read() -> None:
    book = AskedDocument("x", "a.pdf", "page", 6)
    spans = (Span(1, 0, 9), Span(1, 9, 20), Span(2, 0, 9), Span(4, 0, 9))
    call = CallRead(1, "answer", spans)
    left = (Span(3, 0, 50), Span(4, 9, 50))
    told = reading_line(Sources("passages", (book,), (call,), left), 100, TEXTS["en"])
    assert told == ("From 2 passages on pages 1–2, 4; the rest was not read; 2 pages have no text")
    reads = (CallRead(1, "read", spans[:2]), CallRead(2, "read", spans[2:]))
    planned = Sources("map_reduce", (book,), (*reads, CallRead(3, "answer", (), (1, 2))), left)
    told = reading_line(planned, 0, TEXTS["en"])
    assert told.startswith("From 6 pages, read in 2 parts; 2 pages left out")
    ended = planned.after(1)
    told = reading_line(ended, 0, TEXTS["en"])
    assert told == (
        "Ended before the answer, after reading 1 part; 3 pages left out, wholly or in part; "
        "2 pages have no text"
    )
    assert ended.left_out == (spans[2], left[0], spans[3], left[1])
    several = Sources("whole", (book, AskedDocument("y", "b.xlsx", "sheet", 1)), (call,))
    told = reading_line(several, 1234, TEXTS["zh"])
    assert told.startswith("依据 2 篇完整文档（6 页，1 个工作表，读入 1,234 词元）")


def test_a_page_is_text_with_marks_and_nothing_else() -> None:
    page = Page(1, "<script>alert(1)</script> & the end")
    view = page_view(Document("x<y", "pdf", "page", (page,)), 1, (Span(1, 3, 8),), TEXTS["en"])
    assert "<script" not in view and "x<y" not in view
    assert "&lt;sc<mark data-first>ript&gt;</mark>alert(1)" in view
