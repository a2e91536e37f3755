"""A request of the JSON tab that is answered from documents, and the account of what was read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.documents.making import pdf
from tests.ui.site import Site
from tests.ui.test_json_http import OWNER, STRANGER, TICKET, run
from tests.ui.test_uploads import upload, visitor

pytestmark = pytest.mark.slow

SCHEMA = (
    '{"type": "object", "properties": {"lamps": {"type": "integer"}}, "required": ["lamps"], '
    '"additionalProperties": false}'
)
ANSWER = '{"lamps": 12}'
BOOK = pdf(["The lighthouse has 12 lamps.", "The keeper is called Mira."])


@pytest.fixture
def client(site: Site) -> Any:
    site.script(answer=lambda spec, request: ANSWER)
    with visitor(site, OWNER) as client:
        yield client
        for document in client.get("/ui/documents").json()["documents"]:
            client.delete(f"/ui/documents/{document['id']}")


def ask(client: httpx.Client, *ids: str) -> dict[str, Any]:
    order = {"prompt": "How many lamps has the lighthouse?", "schema": SCHEMA, "ticket": TICKET}
    end: dict[str, Any] = run(client, **order, documents=list(ids))[-1]["end"]
    return end


def test_a_run_is_answered_from_documents_and_says_how(client: httpx.Client, site: Site) -> None:
    book = upload(client, BOOK, "book.pdf")[-1]
    assert book["conversation"] == ""
    id = book["document"]["id"]
    end = ask(client, id)
    assert (end["state"], end["account"]) == (
        "valid",
        ["Read whole: book.pdf (pages 1–2)", "Nothing was left out."],
    )
    prompt = "".join(m.content for m in site.loader.requests[-1].messages)
    assert "12 lamps" in prompt and "called Mira" in prompt
    assert site.loader.requests[-1].sampling.constraint is not None

    again = client.get(f"/ui/json/runs/{end['id']}").json()
    assert (again["account"], again["documents"]) == (end["account"], [id])
    with visitor(site, OWNER, "zh") as chinese:
        told = chinese.get(f"/ui/json/runs/{end['id']}").json()["account"]
    assert told == ["已读取全文：book.pdf（第 1–2 页）", "没有遗漏。"]


def test_what_is_left_out_is_named(client: httpx.Client) -> None:
    pages = [f"Storm number {n} broke a mast. " + "The sea was grey. " * 60 for n in range(1, 9)]
    pages[4] += "The lighthouse has 12 lamps."
    id = upload(client, pdf([p.replace(". ", ".\n") for p in pages]), "log.pdf")[-1]
    end = ask(client, id["document"]["id"])
    how, rest = end["account"]
    assert how.startswith("Read in part: the passages that fit the request best: log.pdf (page")
    assert rest.startswith("Left out, wholly or in part: log.pdf (page")


# What the code needs of curl, which not every machine has.
CURL = f"""#!{sys.executable}
import sys, httpx
args, headers, form, body = sys.argv[1:], {{}}, None, None
address = next(a for a in args if a.startswith("http"))
for flag, value in zip(args, args[1:]):
    if flag == "-H":
        name, _, headers[name] = value.partition(": ")
    elif flag == "-F":
        path = value.removeprefix("file=@")
        form = {{"file": (path, open(path, "rb"))}}
    elif flag == "-d":
        body = value
print(httpx.post(address, headers=headers, files=form, content=body, timeout=30).text)
"""


@pytest.mark.parametrize("names", [["book.pdf"], ["book.pdf", "it's 2.pdf"]])
def test_the_code_uploads_and_asks(
    client: httpx.Client, site: Site, tmp_path: Path, names: list[str]
) -> None:
    curl = tmp_path / "curl"
    curl.write_text(CURL)
    curl.chmod(0o755)
    found = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ids = []
    for name in names:
        (tmp_path / name).write_bytes(BOOK)
        ids.append(upload(client, BOOK, name)[-1]["document"]["id"])
    prompt = "How many \"lamps\" has 'ID2'?"
    values = {"prompt": prompt, "schema": SCHEMA, "ticket": TICKET, "max_new_tokens": 64}
    code = client.post("/ui/json/code", json={**values, "documents": ids, "at": site.url}).json()
    for program, said in ((["bash", "-c"], code["curl"]), ([sys.executable, "-c"], code["python"])):
        before = len(site.loader.requests)
        done = subprocess.run(
            [*program, said],
            cwd=tmp_path,
            env=found,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert "lamps" in done.stdout and "12" in done.stdout
        (request,) = site.loader.requests[before:]
        text = request.messages[-1].content
        assert prompt in text and text.count("12 lamps") == len(names)
        assert request.sampling.constraint is not None


def test_a_document_of_someone_else_is_none(client: httpx.Client, site: Site) -> None:
    id = upload(client, BOOK, "book.pdf")[-1]["document"]["id"]
    before = len(site.loader.requests)
    with visitor(site, STRANGER) as stranger:
        end = ask(stranger, id)
        never = ask(stranger, "f" * 32)
    assert end["state"] == "failed" and end == never
    assert len(site.loader.requests) == before


@pytest.mark.parametrize("documents", ["x", ["x"], [1], [None], {}, ["a" * 32] * 101])
def test_forged_ids_are_refused(client: httpx.Client, documents: object) -> None:
    order = {"prompt": "x", "schema": SCHEMA, "ticket": TICKET, "documents": documents}
    answer = client.post("/ui/json/run", content=json.dumps(order), headers=JSON)
    assert answer.status_code == 422 and answer.json()["error"]["param"] == "documents"


JSON = {"content-type": "application/json"}
