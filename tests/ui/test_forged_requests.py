"""What the page's server does with requests that no browser sends: bodies, files, paths, tabs.

Over plain HTTP and, where a client library would tidy a request, over a bare socket.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from qwen_webui.store import StoredMessage
from tests.ui import events
from tests.ui.hands import until
from tests.ui.site import Site

pytestmark = pytest.mark.slow

OWNER, STRANGER = "a" * 32, "b" * 32
# New in every run: a copy of an earlier one in the cache of Gradio would be taken for this one.
SECRET = secrets.token_hex(16)
ROOT = re.escape(str(Path(__file__).parents[2]))
INSIDE = re.compile(rf"Traceback|{ROOT}/|/tmp/|site-packages|\.py\b|Error:|pydantic")


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, cookies={"qw_owner": OWNER}, timeout=20) as client:
        yield client


@pytest.fixture
def stranger(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, cookies={"qw_owner": STRANGER}, timeout=20) as client:
        yield client


def raw(site: Site, target: str, method: str = "GET") -> tuple[int, bytes]:
    """Status and answer for a target that is sent exactly as it stands here."""
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", site.port), 20) as link:
        link.sendall(head.encode("latin-1"))
        answer = b""
        while part := link.recv(1 << 16):
            answer += part
    return int(answer.split()[1]), answer


NO_EVENT: tuple[bytes, ...] = (
    b"",
    b"[]",
    b'"x"',
    b"null",
    b"{",
    b"\xff",
    b"[" * 100_000,
    b'{"data": ' + b"[" * 100_000,
    b"{}",
    b'{"data": [], "fn_index": -1, "session_hash": "x"}',
    b'{"data": [], "fn_index": 99999, "session_hash": "x"}',
    b'{"data": [], "fn_index": 1' + b"0" * 30 + b', "session_hash": "x"}',
    b'{"data": [], "fn_index": 1e999, "session_hash": "x"}',
    b'{"data": [], "fn_index": NaN, "session_hash": "x"}',
    b'{"data": [], "fn_index": "1", "session_hash": ["x"]}',
    b'{"data": {}, "fn_index": 1, "session_hash": "x"}',
    b'{"data": [], "fn_index": 1, "session_hash": 5}',
    b'{"data": [], "fn_index": 1}',
)


@pytest.mark.parametrize("path", ["queue/join", "cancel", "reset", "run/predict", "call/open"])
def test_a_body_that_is_no_event_is_refused_and_never_an_error_of_ours(
    client: httpx.Client, path: str
) -> None:
    """reliability line 35, at the page's own events"""
    for content in NO_EVENT:
        answer = client.post(f"/gradio_api/{path}", content=content, headers=events.JSON)
        assert answer.status_code in (400, 404, 422), (content[:60], answer.text)
        assert not INSIDE.search(answer.text), answer.text
    assert client.get("/healthz").status_code == 200


def test_events_with_too_few_too_many_or_odd_values_end_with_a_notice(
    client: httpx.Client, site: Site
) -> None:
    """reliability lines 35 and 60: every event there is, and nothing of the inside is told"""
    before = len(site.loader.requests)
    odd: tuple[Any, ...] = (None, [], {"a": 1}, -1, "\x00", "\ud800", "../../etc/passwd")
    for number, inputs in events.handlers(client).items():
        for data in ([], [None] * (inputs + 3), *([value] * inputs for value in odd)):
            session = secrets.token_hex(16)
            answer = events.join(client, number, data, session)
            assert answer.status_code in (200, 400, 422), (number, data, answer.text)
            heard = [*events.told(client, session)] if answer.is_success else [answer.json()]
            assert not INSIDE.search(json.dumps(heard)), (number, data, heard)
    assert len(site.loader.requests) == before
    assert site.services.manager.status().name == "demo-fp16"


def upload(client: httpx.Client, name: str, content: bytes) -> httpx.Response:
    return client.post("/ui/documents", params={"name": name}, content=content)


def test_an_upload_over_the_limit_is_refused_by_length_and_in_chunks(client: httpx.Client) -> None:
    """reliability line 37"""

    def pieces() -> Iterator[bytes]:
        for _ in range(51):
            yield b"x" * (1 << 20)

    for content in (b"".join(pieces()), pieces()):
        answer = client.post("/ui/documents?name=a.txt", content=content)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "payload_too_large"


def test_gradio_takes_no_files(client: httpx.Client) -> None:
    for path in ("upload", "upload?upload_id=a", "upload_progress?upload_id=a"):
        answer = client.post(f"/gradio_api/{path}", files={"files": ("a.txt", b"hello")})
        assert answer.status_code == 404


@pytest.mark.parametrize(
    "name", ["a" * 5_000 + ".txt", "", "..", ".", "/", "a%00b", "a%0D%0Ab", "%C3%A9" * 2_000, "%FF"]
)
def test_a_file_name_of_no_use_is_refused_or_mended(client: httpx.Client, name: str) -> None:
    """reliability line 37: never an error of ours"""
    answer = client.post(f"/ui/documents?name={name}", content=b"hello")
    assert answer.status_code in (200, 413), answer.text
    last = answer.json() if answer.status_code != 200 else last_line(answer)
    if "error" in last:
        assert last["error"]["code"] == "payload_too_large" and len(name) > 1_000
    else:
        shown = last["document"]["name"]
        assert shown.isprintable() and 0 < len(shown) <= 200 and "/" not in shown


@pytest.mark.parametrize("name", ["../../x.txt", "..\\..\\x.txt", "/etc/x.txt", "a/../../x.txt"])
def test_of_an_uploads_name_only_the_last_part_counts(client: httpx.Client, name: str) -> None:
    """reliability line 37"""
    assert last_line(upload(client, name, b"hello"))["document"]["name"] == "x.txt"


def last_line(answer: httpx.Response) -> dict[str, Any]:
    last: dict[str, Any] = json.loads(answer.text.splitlines()[-1])
    return last


@pytest.mark.parametrize("name", ["x.txt", "x.js", "x"])
def test_an_uploaded_page_is_only_ever_text(client: httpx.Client, name: str) -> None:
    """reliability line 56: no address gives the file itself back, and its words are escaped"""
    text = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
    id = last_line(upload(client, name, text))["document"]["id"]
    page = client.get(f"/ui/documents/{id}/pages/1")
    assert page.status_code == 200 and "&lt;svg" in page.text and "<svg" not in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    for path in (f"/ui/documents/{id}", f"/ui/documents/{id}/original", f"/gradio_api/file={id}"):
        assert client.get(path).status_code in (403, 404, 405)


@pytest.fixture(scope="module")
def secret(running: Site) -> Path:
    """A file beside the conversations that must not be seen."""
    path = running.settings.data_dir / "secret.txt"
    path.write_text(SECRET)
    return path


def ways_to(path: Path) -> list[str]:
    """Targets that lead to `path`, for a server that lets itself be led."""
    whole, bare = str(path), str(path).lstrip("/")
    encoded, twice = whole.replace("/", "%2f"), whole.replace("/", "%252f")
    up = "../" * 24
    files = [
        *(whole, f"/{whole}", encoded, twice, f"./{whole}", up + bare, f"{up}{bare}%00.txt"),
        *(up.replace("/", "%2f") + bare, up.replace("..", "%2e%2e") + bare, f"file://{whole}"),
        *(f"/proc/self/root{whole}", f"/proc/self/cwd/{up}{bare}", f"{whole}/", f"{whole}/."),
        *(f"/dev/../{bare}", f"\\{bare}", f"{up.replace('/', chr(92))}{bare}", f"..;/{up}{bare}"),
    ]
    under = ("/static/", "/assets/", "/svelte/", "/ui/assets/", "/ui/export/", "/docs/")
    return [
        *(f"/gradio_api/file={file}" for file in files),
        *(f"/gradio_api/file/{file}" for file in files[:8]),
        *(f"/file={file}" for file in files[:8]),
        *(f"{prefix}{way}{bare}" for prefix in under for way in (up, up.replace("/", "%2f"), "/")),
        f"/gradio_api/proxy=file://{whole}",
        f"/gradio_api/custom_component/1/client/component/{up}{bare}",
        f"/gradio_api/stream/{up}{bare}",
        f"{whole}",
        f"/{up}{bare}",
    ]


def test_no_way_of_writing_a_path_leads_to_a_file_of_the_machine(site: Site, secret: Path) -> None:
    """reliability line 49: sent over a bare socket, because clients tidy paths"""
    store = site.settings.data_dir / "conversations.sqlite3"
    weights = site.services.manager.status().info
    assert weights is not None and store.exists()
    for path, mark in (
        (secret, SECRET.encode()),
        (Path("/etc/passwd"), b"root:"),
        (Path("/proc/self/environ"), b"PATH="),
        (store, b"SQLite format"),
        (site._demo / "demo-fp16" / "config.json", b"Qwen2ForCausalLM"),
    ):
        for target in ways_to(path):
            for method in ("GET", "HEAD"):
                status, answer = raw(site, target, method)
                assert mark not in answer, target
                assert status in (400, 403, 404, 405, 422), (method, target, status)


def test_a_client_cannot_have_the_server_fetch_or_name_an_address(site: Site) -> None:
    """reliability line 57: an address as a file, as a proxy's target and as a component's"""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        inside = f"127.0.0.1:{listener.getsockname()[1]}"
        for url in (f"http://{inside}/x", f"http://localhost:{inside[10:]}/", f"HTTP://{inside}/"):
            for route in ("gradio_api/file=", "gradio_api/proxy=", "file=", "proxy="):
                status, _ = raw(site, f"/{route}{url}")
                assert status in (400, 403, 404), (route, url, status)
        with pytest.raises(TimeoutError):
            listener.accept()


def forged_files(secret: Path) -> list[Any]:
    """Values that ask for a file which was never uploaded, as components write them."""
    paths = [str(secret), "/etc/passwd", "/proc/self/environ", f"file://{secret}"]
    files: list[Any] = []
    for path in paths:
        data = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "x.txt"}
        files += [data, [data], {"text": "x", "files": [data]}]
        files += [[{"role": "user", "content": [{"type": "file", "file": data}]}]]
    data = {"path": "x", "url": f"/gradio_api/file={secret}", "meta": {"_type": "gradio.FileData"}}
    return [*files, data]


def test_a_forged_file_in_any_field_of_any_event_is_not_read(
    client: httpx.Client, site: Site, secret: Path
) -> None:
    """reliability line 48"""
    for number, inputs in events.handlers(client).items():
        for value in forged_files(secret):
            session = secrets.token_hex(16)
            answer = events.join(client, number, [value] * inputs, session)
            heard = json.dumps(list(events.told(client, session))) if answer.is_success else ""
            assert SECRET not in heard and "root:" not in heard, (number, value)
    seen = [m.content for request in site.loader.requests for m in request.messages]
    assert not [text for text in seen if SECRET in text]


def talk(site: Site, owner: str) -> tuple[str, list[Any]]:
    """A conversation with a question, and what answers it again."""
    store = site.services.store
    found = site.call(store.create(owner, title="Mine"))
    site.call(store.append(owner, found.id, [StoredMessage("user", "Go on")]))
    persona = site.services.personas.all()[0].id
    return found.id, ["0", found.id, persona, "", None, 0.7, 0.8, 20, 1.05, 0, "", ""]


def test_nobody_else_can_hear_end_or_take_over_a_tab(
    client: httpx.Client, stranger: httpx.Client, site: Site
) -> None:
    """reliability lines 19 and 50: even who knows the tab's name and its event"""
    site.script(words=("word",) * 60, delay=0.02)
    session = secrets.token_hex(5)
    _, given = talk(site, OWNER)
    number = events.handler(client, "qw-do-regenerate", "submit")
    stop = events.handler(client, "qw-stop", "click")
    event = events.join(client, number, given, session).json()["event_id"]
    until(lambda: site.loader.running == 1)
    beat = f"/gradio_api/heartbeat/{session}"
    data = f"/gradio_api/queue/data?session_hash={session}"
    ended = {"session_hash": session, "fn_index": number, "event_id": event}
    assert stranger.post("/gradio_api/cancel", json=ended).status_code == 404
    assert events.join(stranger, stop, [], session).status_code == 404
    assert events.at_once(stranger, stop, [], session).status_code == 404
    assert stranger.get(data).status_code == 404
    assert stranger.get(beat).status_code == 404
    assert stranger.get(f"{data}&session_hash=another").status_code == 404
    padded = json.dumps({"x": "y" * 100_000} | ended).encode()
    forged = stranger.post("/gradio_api/cancel", content=padded, headers=events.JSON)
    assert forged.status_code == 404
    no_cookie = httpx.post(f"{site.url}/gradio_api/cancel", json=ended)
    assert no_cookie.status_code == 404
    guessed = ended | {"session_hash": secrets.token_hex(5)}
    assert stranger.post("/gradio_api/cancel", json=guessed).status_code == 404
    assert site.loader.running == 1
    heard = list(events.told(client, session))
    assert heard[-1]["msg"] == "close_stream"
    kinds = [m["msg"] for m in heard]
    assert kinds.count("process_generating") > 9 and kinds.count("process_completed") == 1
    kept = site.call(site.services.store.get(OWNER, given[1])).messages[-1]
    assert kept.content.count("word") == 60 and not kept.stopped


def test_a_visitor_stops_an_answer_of_their_own(client: httpx.Client, site: Site) -> None:
    """The other half of the test before: what is refused to others works for oneself."""
    site.script(words=("word",) * 5_000, delay=0.02)
    session = secrets.token_hex(5)
    _, given = talk(site, OWNER)
    number = events.handler(client, "qw-do-regenerate", "submit")
    stop = events.handler(client, "qw-stop", "click")
    event = events.join(client, number, given, session).json()["event_id"]
    until(lambda: site.loader.running == 1)
    ended = {"session_hash": session, "fn_index": number, "event_id": event}
    assert client.post("/gradio_api/cancel", json=ended).status_code == 200
    assert events.at_once(client, stop, [], session).status_code == 200
    assert until(lambda: site.loader.running == 0) < 2.5


def test_texts_over_every_length_are_refused_before_the_engine(
    client: httpx.Client, site: Site
) -> None:
    """reliability line 59: Gradio checks no text's length on the server"""
    before = len(site.loader.requests)
    persona = site.services.personas.all()[0].id
    send = events.handler(client, "qw-text", "submit")
    form = ["", persona, "", None, 0.7, 0.8, 20, 1.05, 0, "", ""]
    huge = "x" * 3_000_000
    # Nothing is stored either: the text stays in the box.
    kept = site.call(site.services.store.list(OWNER))
    said = json.dumps(events.run(client, send, [huge, "", *form])["output"])
    assert "longer" not in said and re.search("4,?096", said)
    assert site.call(site.services.store.list(OWNER)) == kept
    own = ["", ":custom", huge, None, 0.7, 0.8, 20, 1.05, 0, "", ""]
    events.run(client, send, ["Hi", "", *own])
    conversation, _ = talk(site, OWNER)
    rename = events.handler(client, "qw-do-rename", "submit")
    events.run(client, rename, [f"{conversation} {huge}", conversation, ""])
    assert len(site.call(site.services.store.get(OWNER, conversation)).title) < 1_000
    assert len(site.loader.requests) == before


SLIDERS = (
    *((5, v) for v in (-1, 3, "x", None, True, [0.7], 1e999)),
    *((6, v) for v in (0, 1.5, "x")),
    *((7, v) for v in (-1, 1.5, 10**30)),
    *((8, v) for v in (0, 100)),
    *((9, v) for v in (-1, 10**9)),
    *((2, v) for v in ("nobody", "../general", "", None, ["general"], {"a": 1}, ":custom/x")),
)


@pytest.mark.parametrize(("place", "forged"), SLIDERS, ids=lambda v: f"{v}"[:20])
def test_a_forged_slider_or_role_reaches_no_engine(
    client: httpx.Client, site: Site, place: int, forged: Any
) -> None:
    """reliability lines 59 and 61, at the box in which people type"""
    before = len(site.loader.requests)
    persona = site.services.personas.all()[0].id
    data = ["Hi", "", "", persona, "", None, 0.7, 0.8, 20, 1.05, 0, "", ""]
    data[place + 1] = forged
    send = events.handler(client, "qw-text", "submit")
    answer = events.join(client, send, data, session := secrets.token_hex(16))
    heard = json.dumps([*events.told(client, session)] if answer.is_success else answer.json())
    assert answer.status_code in (200, 422) and not INSIDE.search(heard), heard
    assert '"success": false' in heard or "qw-error" in heard or answer.status_code == 422
    assert len(site.loader.requests) == before


def test_what_gradio_has_for_developers_is_closed(client: httpx.Client) -> None:
    """reliability line 60: no metrics, recordings, editors or traces for the public"""
    for path in (
        *("/monitoring", "/monitoring/summary", "/monitoring/x", "/svelte/x"),
        *("/gradio_api/profiling/summary", "/gradio_api/profiling/traces", "/gradio_api/runs"),
        *("/gradio_api/vibe-code", "/gradio_api/dev/reload", "/gradio_api/vibe-edit"),
        *("/gradio_api/run-history/records", "/gradio_api/deep_link?session_hash=x"),
    ):
        with client.stream("GET", path) as answer:
            assert answer.status_code in (403, 404, 405), path
    # What stands there is ours, behind the key where there is one.
    figures = [line for line in client.get("/metrics").text.splitlines() if line[0] != "#"]
    assert figures and all(line.startswith("qwen_webui_") for line in figures)
    for path in ("process_recording", "vibe-edit", "component_server", "stream/x", "api/predict"):
        answer = client.post(f"/gradio_api/{path}", json={"data": [], "fn_index": 0})
        assert answer.status_code in (403, 404), path
