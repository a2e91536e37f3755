"""The routes of the JSON tab over plain HTTP: runs, what is kept of them, and forged requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from qwen_webui.engines.scripted import Script
from qwen_webui.errors import GenerationFailed
from qwen_webui.store import JsonRun
from qwen_webui.types import Usage
from tests.ui.hands import until
from tests.ui.site import Site

pytestmark = pytest.mark.slow

OWNER, STRANGER = "a" * 32, "b" * 32
TICKET = "c" * 32
SCHEMA = (
    '{"type": "array", "maxItems": 9, "items": {"type": "object", '
    '"properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false}}'
)
ANSWER = '[{"a": "=1+1"}, {"a": "灯"}]'
ORDER = {"prompt": "Two of them", "schema": SCHEMA, "max_new_tokens": 256, "ticket": TICKET}


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=site.url, cookies={"qw_owner": OWNER, "qw_lang": "en"}, timeout=20
    ) as client:
        yield client
    site.call(site.services.store.delete_all(OWNER))


def run(client: httpx.Client, **changes: Any) -> list[dict[str, Any]]:
    """Every line of a run."""
    answer = client.post("/ui/json/run", json=ORDER | changes)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-accel-buffering"] == "no"
    return [json.loads(line) for line in answer.text.splitlines() if line]


def kept(site: Site, owner: str = OWNER, **changes: Any) -> JsonRun:
    """A run that is in the store."""
    values = {"prompt": "Two", "schema": SCHEMA, "answer": ANSWER, "outcome": "valid"} | changes
    return site.call(site.services.store.runs.add(owner, JsonRun(**values)))


def test_a_run_from_its_request_to_its_files(client: httpx.Client, site: Site) -> None:
    site.script(answer=lambda spec, request: ANSWER)
    *pieces, last = run(client)
    assert "".join(piece.get("text", "") for piece in pieces) == ANSWER
    end = last["end"]
    assert (end["state"], end["line"]) == ("valid", "Valid: checked against the schema")
    assert end["facts"][-1] == "demo-fp16" and end["facts"][0].endswith(" tokens")
    sampling = site.loader.requests[-1].sampling
    assert sampling.constraint is not None and sampling.constraint.value == SCHEMA
    assert sampling.max_new_tokens == 256
    found = site.call(site.services.store.runs.get(OWNER, end["id"]))
    assert (found.prompt, found.schema, found.answer) == ("Two of them", SCHEMA, ANSWER)
    assert (found.outcome, found.max_new_tokens, found.model) == ("valid", 256, "demo-fp16")
    assert found.usage is not None and found.usage.completion_tokens > 0

    path = f"/ui/json/runs/{end['id']}"
    again = client.get(path).json()
    assert (again["prompt"], again["schema"], again["answer"]) == ("Two of them", SCHEMA, ANSWER)
    assert again["line"] == end["line"] and again["facts"] == end["facts"]
    assert end["id"] in client.get("/ui/json/runs").text
    file = client.get(f"{path}/answer.json")
    assert file.json() == json.loads(ANSWER)
    assert "attachment" in file.headers["content-disposition"]
    table = client.get(f"{path}/table.csv")
    assert table.text == "\ufeffa\r\n'=1+1\r\n灯\r\n"
    assert table.headers["x-content-type-options"] == "nosniff"
    assert client.get(f"{path}/run.json").json()["answer"] == ANSWER
    assert client.get(f"{path}/run.exe").status_code == 404

    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
    assert end["id"] not in client.get("/ui/json/runs").text


def test_stop_keeps_what_had_arrived(client: httpx.Client, site: Site) -> None:
    site.script(answer=lambda spec, request: ANSWER[:-1] + " " * 600, delay=0.05)
    lines = []
    with client.stream("POST", "/ui/json/run", json=ORDER | {"max_new_tokens": 2000}) as stream:
        for line in stream.iter_lines():
            lines.append(json.loads(line or "{}"))
            if "text" in lines[-1]:
                assert client.post("/ui/json/stop", json={"ticket": TICKET}).status_code == 200
    assert site.loader.running == 0
    end = lines[-1]["end"]
    assert end["state"] == "stopped" and "not complete" in end["line"]
    found = site.call(site.services.store.runs.get(OWNER, end["id"]))
    assert found.outcome == "stopped" and ANSWER.startswith(found.answer) and found.answer
    for form in ("answer.json", "table.csv"):
        assert client.get(f"/ui/json/runs/{end['id']}/{form}").status_code == 404


def test_nobody_else_can_stop_it(client: httpx.Client, site: Site) -> None:
    site.script(answer=lambda spec, request: ANSWER, delay=0.05)
    with client.stream("POST", "/ui/json/run", json=ORDER) as stream:
        lines = stream.iter_lines()
        next(lines)
        cookies = {"qw_owner": STRANGER}
        httpx.post(f"{site.url}/ui/json/stop", json={"ticket": TICKET}, cookies=cookies)
        last = json.loads(list(lines)[-1])
    assert last["end"]["state"] == "valid"


def test_a_closed_tab_stops_the_engine_at_once(client: httpx.Client, site: Site) -> None:
    site.script(prefill=60.0)
    with client.stream("POST", "/ui/json/run", json=ORDER) as stream:
        lines = stream.iter_lines()
        next(lines)
        until(lambda: site.loader.running == 1)
    assert until(lambda: site.loader.running == 0) < 2.5
    assert site.call(site.services.store.runs.list(OWNER)) == ()
    site.script(answer=lambda spec, request: ANSWER + " " * 600, delay=0.02)
    with client.stream("POST", "/ui/json/run", json=ORDER | {"max_new_tokens": 2000}) as stream:
        lines = stream.iter_lines()
        next(line for line in lines if '"text"' in line)
    assert until(lambda: site.loader.running == 0) < 2.5
    until(lambda: len(site.call(site.services.store.runs.list(OWNER))) == 1)
    (entry,) = site.call(site.services.store.runs.list(OWNER))
    assert entry.outcome == "stopped"


def test_errors_are_sentences_and_lose_nothing(client: httpx.Client, site: Site) -> None:
    site.script(answer=lambda spec, request: ANSWER)
    (*_, refused) = run(client, schema='{"not": {}}')
    assert refused["end"]["state"] == "failed" and refused["end"]["id"] == ""
    assert "cannot be held" in refused["end"]["line"] and "`not`" in refused["end"]["detail"]
    (*_, small) = run(client, max_new_tokens=1)
    assert small["end"]["line"] == "The longest answer is too short for this schema."
    assert "max_new_tokens" in small["end"]["detail"]
    site.script(answer=lambda spec, request: '[{"a": 5}]')
    (*_, invalid) = run(client)
    assert "did not pass the final check" in invalid["end"]["line"]
    found = site.call(site.services.store.runs.get(OWNER, invalid["end"]["id"]))
    assert (found.outcome, found.error) == ("failed", "invalid_output")
    assert found.answer == '[{"a": 5}]'
    site.script(fail_at=3, error=GenerationFailed("The kernel gave up."), words=("abcdefgh",))
    (*_, failed) = run(client)
    assert failed["end"]["detail"] == "The kernel gave up."
    client.cookies.set("qw_lang", "zh")
    (*_, chinese) = run(client, schema="{")
    assert chinese["end"]["line"] == "模式无效。"


def test_without_a_model_it_says_so(client: httpx.Client, site: Site) -> None:
    site.call(site.services.manager.unload())
    (*_, last) = run(client)
    assert last["end"]["line"] == "No model is loaded. Choose one above."


FORGED = [
    {"prompt": None},
    {"prompt": ["x"]},
    {"prompt": "  "},
    {"prompt": "x" * 1_000_001},
    {"schema": {"type": "object"}},
    {"schema": ""},
    {"max_new_tokens": 0},
    {"max_new_tokens": 1_000_000},
    {"max_new_tokens": True},
    {"max_new_tokens": "12"},
    {"max_new_tokens": 1.5},
    {"ticket": "../x"},
    {"ticket": 5},
]


@pytest.mark.parametrize("changes", FORGED, ids=lambda c: f"{c}"[:40])
def test_forged_values_are_refused(
    client: httpx.Client, site: Site, changes: dict[str, Any]
) -> None:
    before = len(site.loader.requests)
    answer = client.post("/ui/json/run", json=ORDER | changes)
    assert answer.status_code == 422
    assert answer.json()["error"]["text"] and "Traceback" not in answer.text
    assert len(site.loader.requests) == before


def test_other_bodies_are_refused(client: httpx.Client) -> None:
    for route in ("run", "check", "infer", "code", "stop"):
        text = json.dumps(ORDER).encode()
        plain = client.post(
            f"/ui/json/{route}", content=text, headers={"content-type": "text/plain"}
        )
        assert plain.status_code == 422, route
        kind = {"content-type": "application/json"}
        for body in (b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'"x"'):
            answer = client.post(f"/ui/json/{route}", content=body, headers=kind)
            assert answer.status_code == 422, (route, body[:9])
        huge = client.post(f"/ui/json/{route}", content=b" " * (5 << 20), headers=kind)
        assert huge.status_code == 413, route


def test_texts_that_no_file_can_hold(client: httpx.Client) -> None:
    half, deep = "\\ud800\\u0000", "[" * 700 + "]" * 700
    for route, field in (("check", "schema"), ("code", "schema"), ("infer", "example")):
        for text in (f'{{"{half}": {{"type": "{half}"}}}}', "\ud800", deep, "NaN", "9" * 5000):
            content = json.dumps(ORDER | {field: text}).encode()
            kind = {"content-type": "application/json"}
            answer = client.post(f"/ui/json/{route}", content=content, headers=kind)
            assert answer.status_code in (200, 422), (route, text[:20])
    content = json.dumps(ORDER | {"prompt": "half \ud800 a pair"}).encode()
    answer = client.post("/ui/json/run", content=content, headers=kind)
    assert "surrogate" in json.loads(answer.text.splitlines()[-1])["end"]["detail"]
    long = client.post("/ui/json/infer", json={"example": "[" + "1," * 60_000 + "1]"})
    assert long.status_code == 422 and long.json()["error"]["text"] == "The text is too long."


def test_anothers_runs_are_out_of_reach(client: httpx.Client, site: Site) -> None:
    foreign = kept(site, STRANGER, prompt="A stranger's secret")
    path = f"/ui/json/runs/{foreign.id}"
    for form in ("", "/run.json", "/answer.json", "/table.csv"):
        answer = client.get(path + form)
        assert answer.status_code == 404 and "secret" not in answer.text
    assert client.delete(path).status_code == 404
    assert "secret" not in client.get("/ui/json/runs").text
    client.cookies.clear()
    assert client.get(f"{path}/run.json").status_code == 404
    assert site.call(site.services.store.runs.get(STRANGER, foreign.id)) == foreign


def test_titles_are_escaped_in_the_list(client: httpx.Client, site: Site) -> None:
    kept(site, prompt="\"><img src=x onerror=alert(1)><b a='")
    page = client.get("/ui/json/runs").text
    assert "<img" not in page and "&lt;img" in page


def test_a_closed_answer_says_so(client: httpx.Client, site: Site) -> None:
    usage = Usage(5, 96, 0, 0.1, 1.0)
    found = kept(site, closed=True, max_new_tokens=96, usage=usage, model="demo-fp16")
    told = client.get(f"/ui/json/runs/{found.id}").json()
    assert told["detail"] == "Brought to a valid end early, to fit 96 tokens."
    assert told["facts"] == ["96 tokens", "1.00 s", "105.6 tokens/s", "demo-fp16"]


def test_the_editors_check(client: httpx.Client) -> None:
    def problems(schema: str) -> list[dict[str, Any]]:
        answer = client.post("/ui/json/check", json={"schema": schema})
        assert answer.status_code == 200
        return list(answer.json()["problems"])

    assert problems(SCHEMA) == []
    (first, second) = problems('{"minimum": "x", "properties": {"a": {"not": {}}}}')
    assert first["place"] == "#/minimum" and "must be a number" in first["sentence"]
    assert second["place"] == "#/properties/a/not" and "`not`" in second["sentence"]
    (cut,) = problems('{\n"type": "object",\n}')
    assert cut["line"] == 3
    assert "JSON object" in problems("[]")[0]["sentence"]


def test_a_schema_from_an_example(client: httpx.Client) -> None:
    answer = client.post("/ui/json/infer", json={"example": '{"a": 1, "b": ["x"]}'}).json()
    assert json.loads(answer["schema"])["properties"]["a"] == {"type": "integer"}
    wrong = client.post("/ui/json/infer", json={"example": '{"a": 1'})
    assert wrong.status_code == 422
    assert wrong.json()["error"]["text"] == "This is not valid JSON."
    assert "line 1" in wrong.json()["error"]["detail"]


def test_the_shown_code_gets_the_same_answer(
    client: httpx.Client, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.script(answer=lambda spec, request: ANSWER)
    run(client)
    by_hand = site.loader.requests[-1]
    code = client.post("/ui/json/code", json=ORDER | {"at": f"{site.url}/"}).json()
    assert code["curl"].startswith(f"curl {site.url}/v1/chat/completions")
    exec(code["python"], {})
    assert capsys.readouterr().out.strip() == str(json.loads(ANSWER))
    by_code = site.loader.requests[-1]
    assert by_code is not by_hand
    assert by_code.messages == by_hand.messages
    asked, given = by_code.sampling.constraint, by_hand.sampling.constraint
    assert asked is not None and given is not None
    assert json.loads(asked.value) == json.loads(given.value)
    assert by_code.sampling.max_new_tokens == by_hand.sampling.max_new_tokens == 256
    forged = client.post("/ui/json/code", json=ORDER | {"at": "javascript:alert(1)"}).json()
    assert site.url in forged["curl"]


def test_the_examples_are_in_the_visitors_language(client: httpx.Client) -> None:
    english = client.get("/ui/json/examples").json()
    client.cookies.set("qw_lang", "zh")
    chinese = client.get("/ui/json/examples").json()
    assert [e["id"] for e in english] == [e["id"] for e in chinese]
    assert (english[1]["title"], chinese[1]["title"]) == ("User registration", "用户注册")


def test_a_run_waits_for_its_turn(client: httpx.Client, site: Site) -> None:
    site.loader.script = Script(answer=lambda spec, request: ANSWER, prefill=1.2)
    lines = run(client)
    assert any("wait" in line for line in lines)
