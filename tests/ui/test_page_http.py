"""The page over plain HTTP: its document, its small routes, and what forged requests get."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from qwen_webui.measure.surroundings import hardware
from qwen_webui.store import StoredMessage
from tests.measure.speed.reports import answers, report, row, written
from tests.ui.hands import until
from tests.ui.site import Site

pytestmark = pytest.mark.slow

OWNER, STRANGER = "a" * 32, "b" * 32


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, cookies={"qw_owner": OWNER}, timeout=20) as client:
        yield client


def stored(site: Site, owner: str, text: str) -> str:
    """A conversation of `owner` with one question."""
    found = site.call(site.services.store.create(owner, title=text))
    site.call(site.services.store.append(owner, found.id, [StoredMessage("user", text)]))
    return found.id


def event(client: httpx.Client, name: str) -> tuple[int, int]:
    """Gradio's number of the handler of a hidden event, and how many inputs it takes."""
    config = client.get("/config").json()
    box = next(
        c["id"] for c in config["components"] if c["props"].get("elem_id") == f"qw-do-{name}"
    )
    for dependency in config["dependencies"]:
        if [box, "submit"] in [list(target) for target in dependency["targets"]]:
            return dependency["id"], len(dependency["inputs"])
    raise AssertionError(f"{name} has no handler")


def call(client: httpx.Client, name: str, *given: Any) -> list[dict[str, Any]]:
    """Everything the server answers when the event is sent with `given` first."""
    number, inputs = event(client, name)
    session = secrets.token_hex(5)
    data = [*given, *[None] * (inputs - len(given))]
    body = {"data": data, "fn_index": number, "session_hash": session}
    answer = client.post("/gradio_api/queue/join", json=body)
    assert answer.status_code == 200, answer.text
    messages = []
    stream = f"/gradio_api/queue/data?session_hash={session}"
    with client.stream("GET", stream) as lines:
        for line in lines.iter_lines():
            if line.startswith("data:"):
                messages.append(json.loads(line[5:]))
                if messages[-1]["msg"] in ("process_completed", "close_stream"):
                    break
    return messages


def test_the_document_is_in_the_visitors_language_and_names_no_other_host(
    client: httpx.Client,
) -> None:
    for header, tag in (("zh-CN,zh", "zh-CN"), ("en-GB", "en")):
        answer = client.get("/", headers={"Accept-Language": header, "Accept-Encoding": "br"})
        assert f'lang="{tag}"' in answer.text and "<title>Qwen WebUI</title>" in answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert not re.findall(r"(?:src|href|content)=[\"']https?://", answer.text)
        assert "unsafe-eval" not in answer.headers["content-security-policy"]


def test_assets_are_ours_alone_and_are_revalidated(client: httpx.Client) -> None:
    page = client.get("/ui/assets/page.js")
    assert page.status_code == 200 and "javascript" in page.headers["content-type"]
    again = client.get("/ui/assets/page.js", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.text) == (304, "")
    for name in ("nothing.js", "..%2f..%2fpage.py", "%2e%2e%2fpage.py"):
        assert client.get(f"/ui/assets/{name}").status_code == 404


def test_the_bar_is_sent_only_when_it_changed(client: httpx.Client) -> None:
    bar = client.get("/ui/bar").json()
    assert "qw-ready" in bar["html"] and bar["busy"] is False
    assert client.get("/ui/bar", params={"seen": bar["version"]}).status_code == 204


def test_exports_and_messages_are_their_owners(client: httpx.Client, site: Site) -> None:
    mine, foreign = stored(site, OWNER, "Mine"), stored(site, STRANGER, "Not mine")
    assert "Mine" in client.get(f"/ui/export/{mine}.md").text
    assert client.get(f"/ui/message/{mine}/0").text == "Mine"
    for path in (
        f"export/{foreign}.md",
        f"export/{foreign}.json",
        f"message/{foreign}/0",
        f"message/{mine}/7",
        f"message/{mine}/-1",
        f"export/{mine}.exe",
        "export/..%2f..%2fetc%2fpasswd.md",
    ):
        assert client.get(f"/ui/{path}").status_code == 404, path
    client.cookies.clear()
    assert client.get(f"/ui/export/{mine}.md").status_code == 404


@pytest.mark.parametrize("name", ["open", "delete", "rename"])
def test_foreign_conversations_are_out_of_reach(
    client: httpx.Client, site: Site, name: str
) -> None:
    foreign = stored(site, STRANGER, "A stranger's secret")
    given = f"{foreign} renamed" if name == "rename" else foreign
    last = call(client, name, given)[-1]
    assert last["success"] is False
    assert "secret" not in json.dumps(last)
    kept = site.call(site.services.store.get(STRANGER, foreign))
    assert (kept.title, len(kept.messages)) == ("A stranger's secret", 1)


@pytest.mark.parametrize("name", ["clear", "edit", "regenerate"])
def test_foreign_messages_are_out_of_reach(client: httpx.Client, site: Site, name: str) -> None:
    foreign = stored(site, STRANGER, "A stranger's secret")
    given = {"clear": (foreign,), "edit": ("0", foreign), "regenerate": ("0", foreign)}[name]
    if name == "regenerate":
        given = (
            *given,
            site.services.personas.all()[0].id,
            "",
            None,
            0.7,
            0.8,
            20,
            1.05,
            0,
            "",
            "",
        )
    last = call(client, name, *given)[-1]
    assert last["success"] is False
    assert "secret" not in json.dumps(last)
    assert len(site.call(site.services.store.get(STRANGER, foreign)).messages) == 1


def test_forged_values_are_refused_with_a_sentence(client: httpx.Client, site: Site) -> None:
    mine = stored(site, OWNER, "Mine")
    persona = site.services.personas.all()[0].id
    good = ("0", mine, persona, "", None, 0.7, 0.8, 20, 1.05, 0, "", "")
    before = len(site.loader.requests)
    for place, forged in ((2, "../../etc/passwd"), (5, 99), (5, "x"), (6, -1), (10, "one")):
        values = list(good)
        values[place] = forged
        last = call(client, "regenerate", *values)[-1]
        assert last["success"] is False, (place, forged)
        assert "Traceback" not in json.dumps(last)
    assert len(site.loader.requests) == before
    assert call(client, "regenerate", *good)[-1]["success"] is True
    assert len(site.loader.requests) == before + 1


def test_an_unknown_model_is_refused(client: httpx.Client, site: Site) -> None:
    last = call(client, "load", "no-such-model")[-1]
    assert last["success"] is False
    assert site.services.manager.status().name == "demo-fp16"


def test_the_queue_is_not_open_and_files_are_not_served(client: httpx.Client) -> None:
    number, inputs = event(client, "open")
    body = {"data": [None] * inputs, "fn_index": number}
    assert client.post("/gradio_api/run/predict", json=body).status_code >= 400
    assert client.post("/gradio_api/call/open", json=body).status_code >= 400
    for path in ("/etc/passwd", "/proc/self/environ", "pyproject.toml", "../../etc/passwd"):
        assert client.get(f"/gradio_api/file={path}").status_code in (403, 404), path


def test_an_answer_that_nobody_fetches_is_stopped(client: httpx.Client, site: Site) -> None:
    mine = stored(site, OWNER, "Mine")
    site.script(words=("word",) * 100_000, delay=0.005)
    number, _ = event(client, "regenerate")
    persona = site.services.personas.all()[0].id
    data = ["0", mine, persona, "", None, 0.7, 0.8, 20, 1.05, 0, "", ""]
    body = {"data": data, "fn_index": number, "session_hash": secrets.token_hex(5)}
    assert client.post("/gradio_api/queue/join", json=body).status_code == 200
    until(lambda: site.loader.running == 1)
    until(lambda: site.loader.running == 0, 40)
    until(lambda: len(site.call(site.services.store.get(OWNER, mine)).messages) == 2)
    answer = site.call(site.services.store.get(OWNER, mine)).messages[1]
    assert answer.stopped and answer.content.startswith("word")


def test_the_advisor_tells_what_was_measured_on_this_machine(
    site: Site, client: httpx.Client
) -> None:
    services = site.services
    rows = [row(spec.name, answers(56.0)) for spec in services.library.all()]
    machine = hardware(site.call(services.manager.room()))
    asked = {"use": "chat", "context": 8192}
    kept = written(site.settings.data_dir, "x", report("another machine", *rows))
    assert "measured here" not in client.get("/ui/advice", params=asked).text
    written(site.settings.data_dir, "x", report(machine, *rows))
    try:
        assert "56 tokens/s, measured here" in client.get("/ui/advice", params=asked).text
    finally:
        for path in kept.parent.iterdir():
            path.unlink()
