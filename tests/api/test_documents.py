"""Documents over real HTTP: uploaded, looked at, asked, deleted; forms that are none; the gone."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from qwen_webui.api import visit
from qwen_webui.documents import intake
from qwen_webui.documents.ocr import INSTALL, find_tesseract
from qwen_webui.engines.scripted import Script
from qwen_webui.types import CheckpointSpec, GenerationRequest
from tests.api.conftest import Served, serving
from tests.api.test_access_keys import KEY, OTHER, bearer
from tests.api.test_generate import LONG, events_of, told
from tests.documents import hostile, making
from tests.serving import soon

CAPTAIN = "The captain of the Lorna is Pella Grint."
LORNA = f"The Lorna is a ship.\n\n{CAPTAIN}\n"
ANSWER = f'Pella Grint.\nSource: "{CAPTAIN}" [p. 1]'
# Thirty pages of 400 bytes and more: no context here holds them.
LONG_PAGES = [
    f"Chapter {n}.\n" + f"The river of valley {n} is calm and its water is cold.\n" * 8
    for n in range(1, 31)
]
EDGE = "an-edge"
FORM = {"content-type": f"multipart/form-data; boundary={EDGE}"}


async def upload(
    served: Served,
    content: bytes | str = LORNA,
    file_name: str = "lorna.txt",
    *,
    headers: dict[str, str] | None = None,
    **fields: str,
) -> httpx.Response:
    files = {"file": (file_name, content)}
    return await served.client.post("/api/documents", files=files, data=fields, headers=headers)


async def uploaded(served: Served, content: bytes | str = LORNA, name: str = "lorna.txt") -> str:
    """The id of a document that is there now."""
    response = await upload(served, content, name)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def ask(served: Served, id: str, question: str = "Who?", **more: Any) -> httpx.Response:
    return await served.client.post(f"/api/documents/{id}/ask", json={"question": question, **more})


def kept(tmp_path: Path) -> list[str]:
    """What lies in the folder of uploads."""
    return [path.name for path in tmp_path.glob("uploads/*")]


# What is said of one.


async def test_an_upload_tells_what_was_read(served: Served, tmp_path: Path) -> None:
    response = await upload(served)
    body = response.json()
    assert response.status_code == 201
    id, created = body.pop("id"), body.pop("created")
    assert len(id) == 32 and body.pop("expires") == pytest.approx(created + 7 * 24 * 3600, abs=5)
    ocr = body.pop("ocr")
    assert set(ocr) == {"available", "install"}
    text = LORNA.strip()
    page = {"page": 1, "words": 13, "tokens": len(text), "state": "ok", "title": ""}
    assert body == {
        "name": "lorna.txt",
        "kind": "text",
        "unit": "part",
        "pages": 1,
        "bytes": len(LORNA),
        "conversation": None,
        "diagnosis": {
            "words": 13,
            "tokens": len(text),
            "pages": [page],
            "unread": [],
            "to_recognise": [],
        },
    }
    assert (await served.client.get(f"/api/documents/{id}")).json() == response.json()
    one = (await served.client.get(f"/api/documents/{id}/pages/1")).json()
    assert one == {
        "document": id,
        "page": 1,
        "unit": "part",
        "state": "ok",
        "title": "",
        "text": text,
    }
    assert kept(tmp_path) == [id]


async def test_before_a_checkpoint_is_ready_only_tokens_are_unknown(tmp_path: Path) -> None:
    async with serving(tmp_path, load=False) as served:
        body = (await upload(served)).json()
        diagnosis = body["diagnosis"]
        assert (diagnosis["words"], diagnosis["tokens"]) == (13, None)
        assert [(p["words"], p["tokens"]) for p in diagnosis["pages"]] == [(13, None)]
        response = await ask(served, body["id"])
        assert (response.status_code, told(response)["code"]) == (503, "model_not_ready")


async def test_pages_that_cannot_be_read_are_named(served: Served) -> None:
    body = (await upload(served, making.scanned(["A line"], "A page of text."), "a.pdf")).json()
    diagnosis = body["diagnosis"]
    assert (body["unit"], body["pages"]) == ("page", 2)
    assert [page["state"] for page in diagnosis["pages"]] == ["ok", "scanned"]
    assert (diagnosis["unread"], diagnosis["to_recognise"]) == ([2], [2])


async def test_the_list_and_the_end_of_one(served: Served, tmp_path: Path) -> None:
    first, second = await uploaded(served), await uploaded(served, "Another.", "other.md")
    listed = (await served.client.get("/api/documents")).json()["documents"]
    assert [(one["id"], one["name"]) for one in listed] == [
        (first, "lorna.txt"),
        (second, "other.md"),
    ]
    assert set(listed[0]) == {
        *("id", "name", "kind", "unit", "pages", "bytes", "created", "expires", "conversation")
    }
    gone = await served.client.delete(f"/api/documents/{first}")
    assert (gone.status_code, gone.content) == (204, b"")
    await soon(lambda: kept(tmp_path) == [second])
    assert (await served.client.delete(f"/api/documents/{first}")).status_code == 404


async def test_a_name_of_ones_own(served: Served) -> None:
    body = (await upload(served, name="量子 report.md")).json()
    assert (body["name"], body["kind"]) == ("量子 report.md", "markdown")


# Whose it is.


async def test_nobody_elses_id_works(served: Served) -> None:
    """reliability line 50"""
    mine = {"cookie": f"qw_owner={'a' * 32}"}
    other = {"cookie": f"qw_owner={'b' * 32}"}
    id = (await upload(served, headers=mine)).json()["id"]
    calls: Sequence[tuple[str, str, dict[str, Any] | None]] = (
        ("GET", "", None),
        ("GET", "/pages/1", None),
        ("POST", "/recognise", None),
        ("POST", "/ask", {"question": "Who?"}),
        ("POST", "/ask", {"question": "Who?", "stream": True}),
        ("DELETE", "", None),
    )
    for headers in (other, {}):
        for method, path, body in calls:
            answers = [
                await served.client.request(
                    method, f"/api/documents/{one}{path}", json=body, headers=headers
                )
                for one in (id, "f" * 32)
            ]
            assert {answer.status_code for answer in answers} == {404}, path
            assert answers[0].json() == answers[1].json()
        listed = await served.client.get("/api/documents", headers=headers)
        assert listed.json() == {"documents": []}
        own = (await upload(served, headers=headers)).json()["id"]
        response = await served.client.post(
            f"/api/documents/{own}/ask", json={"question": "?", "documents": [id]}, headers=headers
        )
        assert response.status_code == 404
        await served.client.delete(f"/api/documents/{own}", headers=headers)
    assert (await served.client.get(f"/api/documents/{id}", headers=mine)).status_code == 200


async def test_a_key_owns_what_it_uploads(tmp_path: Path) -> None:
    async with serving(tmp_path, settings={"api_key": f"{KEY},{OTHER}"}) as served:
        assert (await upload(served)).status_code == 401
        id = (await upload(served, headers=bearer(KEY))).json()["id"]
        for key, status in ((KEY, 200), (OTHER, 404)):
            response = await served.client.get(f"/api/documents/{id}", headers=bearer(key))
            assert response.status_code == status


async def test_without_keys_it_is_the_address_that_owns(served: Served) -> None:
    id = await uploaded(served)
    assert (await served.client.get(f"/api/documents/{id}")).status_code == 200
    elsewhere = {"x-forwarded-for": "203.0.113.7"}
    for headers in (elsewhere, elsewhere | {"cookie": "qw_owner=address 127.0.0.1"}):
        response = await served.client.get(f"/api/documents/{id}", headers=headers)
        assert response.status_code == 404


async def test_a_page_of_another_site_uploads_nothing(served: Served, tmp_path: Path) -> None:
    """reliability line 54: a form is what such a page can send."""
    response = await upload(served, headers={"sec-fetch-site": "cross-site"})
    assert (response.status_code, told(response)["code"]) == (403, "forbidden")
    assert kept(tmp_path) == []


async def test_a_conversation_has_documents_of_its_own(served: Served) -> None:
    owner = "c" * 32
    mine = {"cookie": f"qw_owner={owner}"}
    conversation = await served.services.store.create(owner)
    body = (await upload(served, headers=mine, conversation=conversation.id)).json()
    assert (body["conversation"], body["expires"]) == (conversation.id, None)
    query = {"conversation": conversation.id}
    listed = await served.client.get("/api/documents", params=query, headers=mine)
    assert [one["id"] for one in listed.json()["documents"]] == [body["id"]]
    assert (await served.client.get("/api/documents", headers=mine)).json() == {"documents": []}
    for headers in (mine | {"cookie": f"qw_owner={'d' * 32}"}, {}):
        foreign = await upload(served, headers=headers, conversation=conversation.id)
        assert foreign.status_code == 404
        listed = await served.client.get("/api/documents", params=query, headers=headers)
        assert listed.status_code == 404


# Forms that are none.


def form(*parts: tuple[str, bytes], end: str = f"--{EDGE}--\r\n") -> bytes:
    return (
        b"".join(
            f"--{EDGE}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode()
            + content
            + b"\r\n"
            for head, content in parts
        )
        + end.encode()
    )


ONE = ('name="file"; filename="a.txt"', b"A text.")
JSON_HEAD = {"content-type": "application/json"}
BAD: list[tuple[bytes, dict[str, str], str, str | None]] = [
    (b'{"file": "a"}', JSON_HEAD, "must be a form", None),
    (b"file=a", {"content-type": "application/x-www-form-urlencoded"}, "must be a form", None),
    (b"A text.", {"content-type": "text/plain"}, "must be a form", None),
    (b"A text.", {}, "must be a form", None),
    (form(ONE), {"content-type": "multipart/form-data"}, "names no boundary", None),
    (form(ONE), {"content-type": f"multipart/form-data; boundary={'q' * 500}"}, "boundary", None),
    (form(ONE), {"content-type": "multipart/form-data; boundary=another"}, "boundary", None),
    (b"", FORM, "ends early", None),
    (form(ONE, end=""), FORM, "ends early", None),
    (form(ONE)[:-8], FORM, "ends early", None),
    (form(end=f"--{EDGE}--\r\n"), FORM, "no field 'file'", "file"),
    (form(('name="name"', b"a.txt")), FORM, "no field 'file'", "file"),
    (form(('name="files"; filename="a.txt"', b"A")), FORM, "There is no field 'files'", None),
    (form(("", b"A")), FORM, "There is no field ''", None),
    (form(('name="file"', b"A text.")), FORM, "holds text and no file", "file"),
    (form(('name="file"; filename=""', b"A")), FORM, "has no name", "file"),
    (form(('name="file"; filename="  "', b"A")), FORM, "has no name", "file"),
    (form(ONE, ONE), FORM, "two fields 'file'", "file"),
    (form(ONE, ('name="name"', b"a"), ('name="name"', b"b")), FORM, "two fields 'name'", "name"),
    (form(ONE, ('name="name"', b"\xff\xfe")), FORM, "no UTF-8", "name"),
    (form(ONE).replace(b"Content-Disposition:", b"Content Disposition:"), FORM, "cannot be", None),
    (form(ONE).replace(b"Content-Disposition:", b"X: y\r\n" * 9), FORM, "cannot be read", None),
]


async def test_bad_forms(served: Served, tmp_path: Path) -> None:
    for content, headers, says, param in BAD:
        response = await served.client.post("/api/documents", content=content, headers=headers)
        error = told(response)
        assert (response.status_code, error["code"]) == (422, "invalid_request"), error
        assert says in error["message"] and error["param"] == param, (content, error)
        assert len(error["message"]) < 400
        assert kept(tmp_path) == []


async def test_a_form_may_come_in_any_pieces(served: Served) -> None:
    """And a file may hold what looks like the edge of a part."""
    text = f"First.\r\n--{EDGE[:-1]}\r\n--\r\n-{EDGE}--\r\nLast.".encode()
    whole = form(('name="file"; filename="a.txt"', text), ('name="name"', b"b.md"))

    async def pieces(size: int) -> AsyncIterator[bytes]:
        for start in range(0, len(whole), size):
            yield whole[start : start + size]

    for size in (1, 7, 64):
        response = await served.client.post("/api/documents", content=pieces(size), headers=FORM)
        body = response.json()
        assert (response.status_code, body["name"], body["bytes"]) == (201, "b.md", len(text))


async def test_names_of_no_use(served: Served) -> None:
    """reliability line 37: never an error of ours, and only the last part of a path counts."""
    for name in ("../../x.txt", "..\\..\\x.txt", "/etc/x.txt", "C:\\a\\x.txt"):
        response = await served.client.post(
            "/api/documents",
            content=form((f'name="file"; filename="{name}"', b"A text.")),
            headers=FORM,
        )
        assert (response.status_code, response.json()["name"]) == (201, "x.txt"), name
    for name in (
        "a" * 5_000 + ".txt",
        "a" * 20_000,
        "..",
        ".",
        "/",
        "a\x00b",
        "\u202eb",
        "é" * 2000,
    ):
        response = await served.client.post(
            "/api/documents",
            content=form((f'name="file"; filename="{name}"', b"A text.")),
            headers=FORM,
        )
        assert response.status_code in (201, 413, 422), (name[:20], response.text)
    long = await served.client.post(
        "/api/documents", content=form(ONE, ('name="name"', b"n" * 5_000)), headers=FORM
    )
    assert (long.status_code, told(long)["param"]) == (413, "name")


async def test_lying_extensions(served: Served, tmp_path: Path) -> None:
    """reliability line 46"""
    for name, content in hostile.lying().values():
        response = await upload(served, content, name)
        assert (response.status_code, told(response)["code"]) == (415, "unsupported_document")
    assert kept(tmp_path) == []


async def test_files_over_the_limit(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """reliability lines 36, 37: by its length, and in chunks."""
    assert visit.UPLOAD_BYTES > 50 << 20
    assert (await upload(served, b"A line.\n" * 600_000)).status_code == 201
    monkeypatch.setattr(visit, "UPLOAD_BYTES", 1 << 20)

    async def pieces() -> AsyncIterator[bytes]:
        whole = form(('name="file"; filename="a.txt"', b"x" * (2 << 20)))
        for start in range(0, len(whole), 1 << 16):
            yield whole[start : start + (1 << 16)]

    (first,) = kept(tmp_path)
    for content in (b"".join([piece async for piece in pieces()]), pieces()):
        response = await served.client.post("/api/documents", content=content, headers=FORM)
        assert (response.status_code, told(response)["code"]) == (413, "payload_too_large")
        assert "1 MiB" in told(response)["message"]
    await soon(lambda: kept(tmp_path) == [first])
    # Only the upload itself may be long.
    response = await served.client.post(f"/api/documents/{first}/ask", content=b"x" * (5 << 20))
    assert response.status_code == 413


async def test_what_one_caller_may_upload_and_keep(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MOST_OF_OWNER", 0)
    response = await upload(served)
    assert (response.status_code, told(response)["code"]) == (429, "too_many_uploads")
    assert response.headers["retry-after"] == "5" and told(response)["type"] == "overloaded"
    monkeypatch.undo()
    monkeypatch.setattr("qwen_webui.store.documents.MOST_BYTES_WITHOUT", 1 << 20)
    await uploaded(served, LORNA)
    response = await upload(served, "A line.\n" * 131_060)
    assert (response.status_code, told(response)["code"]) == (413, "documents_full")
    assert "more than 1 MiB" in told(response)["message"]


async def test_a_full_disk(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """reliability line 31"""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("qwen_webui.store.folders.memoryview", full, raising=False)
        response = await upload(served)
    error = told(response)
    assert (response.status_code, error["code"]) == (507, "store_error")
    assert "disk" in error["message"] and str(tmp_path) not in error["message"]
    await soon(lambda: kept(tmp_path) == [])
    assert (await upload(served)).status_code == 201


# Clients that go away, and those that are in no hurry.


async def begun(served: Served, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which an upload has begun that says it is longer."""
    head = (
        "POST /api/documents HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: the-slow-one\r\n"
        f"Content-Type: {FORM['content-type']}\r\nContent-Length: 1000000\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(head.encode() + sent)
    return reader, writer


async def test_of_half_an_upload_nothing_stays(
    served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "qwen_webui")
    _, writer = await begun(served, form(ONE, end="")[:-2] + b"x" * 200_000)
    await soon(lambda: len(kept(tmp_path)) == 1)
    writer.transport.abort()
    await soon(lambda: kept(tmp_path) == [])
    await soon(lambda: "the-slow-one POST /api/documents 499" in caplog.text)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_an_upload_that_trickles_is_given_up(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """reliability line 38"""
    monkeypatch.setattr(visit, "BODY_PATIENCE", 0.3)
    monkeypatch.setattr(visit, "BODY_BYTES_PER_SECOND", 1 << 20)
    reader, writer = await begun(served, form(ONE, end=""))
    async with asyncio.timeout(10):
        answer = await reader.read(1 << 16)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408") and b"request_timeout" in answer
    await soon(lambda: kept(tmp_path) == [])


async def test_a_client_that_goes_while_its_file_is_read(served: Served, tmp_path: Path) -> None:
    """The process that reads it goes as well."""
    before = set(psutil.Process().children(recursive=True))
    name, content = hostile.flate_bomb()
    task = asyncio.create_task(upload(served, content, name))
    await soon(lambda: bool(set(psutil.Process().children(recursive=True)) - before), 10)
    task.cancel()
    await soon(lambda: set(psutil.Process().children(recursive=True)) <= before, 10)
    await soon(lambda: kept(tmp_path) == [])


async def test_health_is_told_while_files_come_in(served: Served) -> None:
    """reliability line 10; fivefold the promised 50 ms"""
    large = b"A line of a long text, again and again.\n" * 100_000
    sent = [asyncio.create_task(upload(served, large, f"{n}.txt")) for n in range(2)]
    slowest = 0.0
    while not all(task.done() for task in sent):
        health = await served.client.get("/healthz")
        assert health.status_code == 200
        slowest = max(slowest, health.elapsed.total_seconds())
        await asyncio.sleep(0.02)
    assert [task.result().status_code for task in sent] == [201, 201]
    assert slowest < 0.25


# Asked.


async def test_an_answer_with_its_citations_and_all_that_was_read(served: Served) -> None:
    served.loader.script = Script(answer=lambda spec, request: ANSWER)
    id = await uploaded(served)
    response = await ask(served, id, "Who is the captain?", max_new_tokens=200, temperature=0.4)
    body = response.json()
    assert response.status_code == 200
    length, start = len(LORNA.strip()), LORNA.index(CAPTAIN)
    pages = [{"document": id, "first": 1, "last": 1}]
    quote = ANSWER.index(CAPTAIN)
    usage = body.pop("usage")
    assert body == {
        "answer": ANSWER,
        "citations": [
            {
                "document": id,
                "page": 1,
                "quote": CAPTAIN,
                "verified": True,
                "verdict": "verified",
                "found_on": 1,
                "start": quote,
                "end": quote + len(CAPTAIN),
                # Marks at its edges are not looked for.
                "spans": [{"document": id, "page": 1, "start": start, "end": length - 1}],
            }
        ],
        "mode": "whole",
        "documents": [{"id": id, "name": "lorna.txt", "unit": "part", "pages": 1}],
        "calls": [{"number": 1, "step": "answer", "pages": pages, "inputs": []}],
        "pages_read": pages,
        "pages_left_out": [],
        "read": [{"document": id, "page": 1, "start": 0, "end": length}],
        "left_out": [],
        "model": "one",
        "finish_reason": "stop",
    }
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    request = served.loader.requests[-1]
    assert (request.sampling.max_new_tokens, request.sampling.temperature) == (200, 0.4)
    assert LORNA.strip() in request.messages[-1].content


async def test_what_stands_nowhere_and_what_does_not_exist(served: Served) -> None:
    answer = 'A. "The captain is Mira Tolen." [p. 1] "The Lorna is a ship." [doc 7, p. 9]'
    served.loader.script = Script(answer=lambda spec, request: answer)
    body = (await ask(served, await uploaded(served))).json()
    seen = [(one["document"], one["verdict"], one["verified"]) for one in body["citations"]]
    assert seen[0][1:] == ("not_found", False)
    assert seen[1][1:] == ("no_page", False)


async def test_of_a_long_document_it_says_what_was_left_out(served: Served) -> None:
    served.loader.script = Script(answer=lambda spec, request: "Cold.")
    id = await uploaded(served, making.pdf(LONG_PAGES), "long.pdf")
    body = (await ask(served, id, "How is the water in valley 17?")).json()
    assert body["mode"] == "passages" and body["left_out"]
    read = {n for row in body["pages_read"] for n in range(row["first"], row["last"] + 1)}
    left = {n for row in body["pages_left_out"] for n in range(row["first"], row["last"] + 1)}
    assert 17 in read and read | left == set(range(1, 31))
    assert read == {span["page"] for span in body["read"]}
    assert left == {span["page"] for span in body["left_out"]}


async def test_a_summary_as_a_stream(served: Served) -> None:
    served.loader.script = Script(answer=lambda spec, request: "A note.")
    id = await uploaded(served, making.pdf(LONG_PAGES), "long.pdf")
    response = await ask(served, id, "Summarise it.", stream=True)
    seen = [event async for event in events_of(response)]
    names = [name for name, _ in seen]
    calls = seen[0][1]["calls"]
    assert names[0] == "sources" and seen[0][1]["mode"] == "map_reduce"
    assert len(served.loader.requests) == 1 + len(calls), "the smoke generation, and the calls"
    assert names.count("progress") >= len(calls) - 1
    progress = next(data for name, data in seen if name == "progress")
    assert progress == {
        "stage": "reading_documents",
        "done": 0,
        "total": len(calls),
        "unit": "calls",
    }
    assert "".join(data["text"] for name, data in seen if "text" in data) == "A note."
    assert names[-2:] == ["citations", "message"] and seen[-2][1] == {"citations": []}
    assert list(seen[-1][1]) == ["usage", "model", "finish_reason"]
    assert seen[0][1]["pages_read"] == [{"document": id, "first": 1, "last": 30}]


async def test_everything_is_read_when_asked_to(served: Served) -> None:
    served.loader.script = Script(answer=lambda spec, request: "A note.")
    id = await uploaded(served, making.pdf(LONG_PAGES), "long.pdf")
    modes = [
        (await ask(served, id, question, everything=everything)).json()["mode"]
        for question, everything in (("Which rivers?", True), ("Summarise it.", False))
    ]
    assert modes == ["map_reduce", "passages"]


async def test_several_are_asked_together(served: Served) -> None:
    answer = f'"{CAPTAIN}" [doc 2, p. 1]'
    served.loader.script = Script(answer=lambda spec, request: answer)
    first, second = await uploaded(served, "The Tarvo costs 120 crowns."), await uploaded(served)
    body = (await ask(served, first, documents=[second, first])).json()
    assert [one["id"] for one in body["documents"]] == [first, second]
    (citation,) = body["citations"]
    assert (citation["document"], citation["verified"]) == (second, True)
    assert [span["document"] for span in body["read"]] == [first, second]


async def test_an_answer_of_a_form_has_no_citations(served: Served) -> None:
    def answer(_: CheckpointSpec, request: GenerationRequest) -> str:
        assert request.sampling.constraint is not None
        return '{"captain": "Pella Grint"}'

    served.loader.script = Script(answer=answer)
    id = await uploaded(served)
    schema = {"type": "object", "properties": {"captain": {"type": "string"}}}
    body = (await ask(served, id, schema=schema)).json()
    assert json.loads(body["answer"]) == {"captain": "Pella Grint"}
    assert body["citations"] == [] and body["mode"] == "whole"


async def test_bad_questions(served: Served) -> None:
    id = await uploaded(served)
    before = len(served.loader.requests)
    for body, param in (
        ({}, "question"),
        ({"question": " \n"}, "question"),
        ({"question": 5}, "question"),
        ({"question": "Who?", "documents": "x"}, "documents"),
        ({"question": "Who?", "documents": ["x"] * 20}, "documents"),
        ({"question": "Who?", "documents": [""]}, "documents"),
        ({"question": "Who?", "everything": "yes"}, "everything"),
        ({"question": "Who?", "language": "fr"}, "language"),
        ({"question": "Who?", "temperature": 3}, "temperature"),
        ({"question": "Who?", "prompt": "Hi"}, "prompt"),
        ({"question": "Who?", "regex": "a", "choices": ["a"]}, "schema"),
    ):
        response = await served.client.post(f"/api/documents/{id}/ask", json=body)
        error = told(response)
        assert (response.status_code, error["param"]) == (422, param), body
    response = await ask(served, id, "word " * 2_000)
    assert (response.status_code, told(response)["code"]) == (400, "context_length_exceeded")
    assert len(served.loader.requests) == before


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_goes_stops_the_engine(served: Served, stream: bool) -> None:
    """reliability lines 14, 15"""
    id = await uploaded(served)
    served.loader.script = LONG
    task = asyncio.create_task(ask(served, id, stream=stream))
    await soon(lambda: served.loader.running == 1)
    task.cancel()
    await soon(lambda: served.loader.running == 0)
    assert served.services.manager.status().running == 0


async def test_pages_that_are_not_there(served: Served) -> None:
    id = await uploaded(served)
    for page, status in (("2", 404), ("0", 404), ("-1", 404), ("9" * 60, 404), ("x", 422)):
        response = await served.client.get(f"/api/documents/{id}/pages/{page}")
        assert response.status_code == status, page
    wrong = await served.client.put(f"/api/documents/{id}")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "DELETE, GET")


# OCR.


async def test_without_tesseract_the_way_to_it_is_told(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = (await upload(served, making.scanned(["A line"]), "a.pdf")).json()
    monkeypatch.setenv("PATH", "/nowhere")
    response = await served.client.post(f"/api/documents/{body['id']}/recognise")
    error = told(response)
    assert (response.status_code, error["code"]) == (422, "ocr_missing")
    assert INSTALL in error["message"]
    again = (await served.client.get(f"/api/documents/{body['id']}")).json()
    assert again["ocr"] == {"available": False, "install": INSTALL}


@pytest.mark.skipif(find_tesseract() is None, reason="Tesseract is not installed")
async def test_a_scanned_page_is_read_on_demand(served: Served) -> None:
    scan = making.scanned(["The Lorna is a ship."], "A page of text.")
    id = await uploaded(served, scan, "scan.pdf")
    response = await served.client.post(f"/api/documents/{id}/recognise")
    assert response.headers["content-type"].startswith("text/event-stream")
    seen = [event async for event in events_of(response)]
    assert [name for name, _ in seen] == ["progress", "progress", "document"]
    assert seen[1][1] == {"stage": "recognising", "done": 1, "total": 1, "unit": "pages"}
    assert seen[-1][1] == (await served.client.get(f"/api/documents/{id}")).json()
    assert [p["state"] for p in seen[-1][1]["diagnosis"]["pages"]] == ["ok", "recognised"]
    page = (await served.client.get(f"/api/documents/{id}/pages/2")).json()
    assert "Lorna is a ship" in page["text"]
