"""/openapi.json and /docs: true to what the server does, and usable without the internet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from playwright.async_api import async_playwright

from qwen_webui.engines.scripted import Script
from qwen_webui.types import CheckpointSpec, GenerationRequest
from tests.api.conftest import Served
from tests.api.proxy import Proxy
from tests.api.test_generate import told
from tests.ui.conftest import CHROMIUM, FLAGS

ROUTES = {
    "/api/generate": {"post"},
    "/api/advice": {"get"},
    "/api/compare": {"get", "post"},
    "/api/compare/{id}": {"get", "delete"},
    "/api/compare/{id}/export": {"get"},
    "/api/models": {"get"},
    "/api/models/load": {"post"},
    "/api/models/cancel": {"post"},
    "/api/models/unload": {"post"},
    "/api/personas": {"get"},
    "/api/structured/check": {"post"},
    "/api/structured/infer": {"post"},
    "/api/documents": {"get", "post"},
    "/api/documents/{id}": {"get", "delete"},
    "/api/documents/{id}/pages/{page}": {"get"},
    "/api/documents/{id}/recognise": {"post"},
    "/api/documents/{id}/ask": {"post"},
    "/v1/models": {"get"},
    "/v1/models/{id}": {"get"},
    "/v1/chat/completions": {"post"},
    "/v1/completions": {"post"},
    "/metrics": {"get"},
    "/api/monitor": {"get"},
    "/healthz": {"get"},
    "/readyz": {"get"},
}
BODILESS = ("/api/models/cancel", "/api/models/unload", "/api/documents/{id}/recognise")


async def document_of(served: Served) -> dict[str, Any]:
    response = await served.client.get("/openapi.json")
    assert response.status_code == 200
    return dict(response.json())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


async def test_it_covers_every_route(served: Served) -> None:
    document = await document_of(served)
    assert {path: set(item) for path, item in document["paths"].items()} == ROUTES
    for path, method, operation in operations(document):
        assert operation["summary"] and operation["tags"], path
        problems = {status for status in operation["responses"] if int(status) >= 400}
        assert {"403", "500", "503"} <= problems, path
        assert (operation.get("security") == []) == (path in ("/healthz", "/readyz"))
        assert ("requestBody" in operation) == (method == "post" and path not in BODILESS)


async def test_both_addresses_say_the_same(served: Served) -> None:
    assert (await served.client.head("/openapi.json")).status_code == 200
    document = await document_of(served)
    other = (await served.client.get("/api/openapi.json")).json()
    assert (document.pop("servers")[0]["url"], other.pop("servers")[0]["url"]) == ("./", "../")
    assert document == other


async def test_every_reference_leads_somewhere(served: Served) -> None:
    document = await document_of(served)
    text = json.dumps(document)
    known = document["components"]["schemas"]
    named = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert named <= set(known) and "$defs" not in text and "HTTPValidationError" not in known
    assert '"#/$defs' not in text


async def test_fields_are_described_with_their_ranges(served: Served) -> None:
    document = await document_of(served)
    for name in ("ChatBody", "TextBody", "GenerateBody", "AskBody"):
        schema = document["components"]["schemas"][name]
        assert schema["additionalProperties"] is False
        undescribed = [
            field
            for field, inner in schema["properties"].items()
            if not (inner.get("description") or "$ref" in json.dumps(inner))
        ]
        assert not undescribed, (name, undescribed)
        temperature = schema["properties"]["temperature"]
        assert (temperature["minimum"], temperature["maximum"]) == (0, 2)


def obliging(_: CheckpointSpec, request: GenerationRequest) -> str:
    """Answers of the forms that the examples ask for."""
    kind = request.sampling.constraint.kind if request.sampling.constraint else None
    forms = {"json_schema": '{"name": "Ada", "age": 36}', "choice": "no", "regex": "1815-12-10"}
    return forms.get(kind or "", "Hello")


async def test_every_example_is_taken(served: Served) -> None:
    """Sent as they stand; the names of the embedded checkpoints are not known here."""
    served.loader.script = Script(answer=obliging)
    document = await document_of(served)
    files = {"file": ("a.txt", "Ada is 36.")}
    id = (await served.client.post("/api/documents", files=files)).json()["id"]
    sent = 0
    for path, method, operation in operations(document):
        if "requestBody" not in operation:
            continue
        ((kind, content),) = operation["requestBody"]["content"].items()
        store = {"components": document["components"]}
        for example in content["examples"].values():
            jsonschema.validate(example["value"], content["schema"] | store)
            if path in ("/api/models/load", "/api/compare"):
                continue
            sending = {"json": example["value"]}
            if kind == "multipart/form-data":
                sending = {"files": {n: ("a.txt", value) for n, value in example["value"].items()}}
            response = await served.client.request(method, path.format(id=id), **sending)
            assert response.status_code in (200, 201), (path, example, response.text)
            sent += 1
    assert sent >= 19


async def test_what_is_not_there(served: Served) -> None:
    for name in ("redoc.standalone.js", "..%2f..%2fpyproject.toml", "x"):
        response = await served.client.get(f"/docs/{name}")
        assert (response.status_code, told(response)["code"]) == (404, "not_found"), name
    script = await served.client.get("/docs/swagger-ui-bundle.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "max-age" in script.headers["cache-control"]


async def test_keys_are_described(served: Served) -> None:
    document = await document_of(served)
    schemes = document["components"]["securitySchemes"]
    assert {name: scheme["type"] for name, scheme in schemes.items()} == {
        "bearer": "http",
        "x-api-key": "apiKey",
        "login": "apiKey",
    }
    assert document["security"] == [{}, {"bearer": []}, {"x-api-key": []}, {"login": []}]


@pytest.mark.browser
@pytest.mark.parametrize("prefix", ["", "/some/prefix"])
async def test_the_page_needs_no_other_host(served: Served, prefix: str) -> None:
    """Every operation is listed, one is tried out, and nothing leaves this server; behind a proxy
    that strips a prefix too."""
    asked: list[str] = []
    said: list[str] = []
    proxy = Proxy(served.port, prefix).start()
    here = f"http://localhost:{proxy.port}{prefix}/"
    try:
        async with async_playwright() as play:
            browser = await play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            page = await browser.new_page()
            page.on("request", lambda request: asked.append(request.url))
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            await page.goto(f"{here}docs")
            await page.wait_for_selector(".opblock")
            shown = await page.locator(".opblock-summary-path").evaluate_all(
                "all => all.map(one => one.dataset.path)"
            )
            assert sorted(shown) == sorted(path for path in ROUTES for _ in ROUTES[path])
            chat = page.locator(".opblock", has=page.locator('[data-path="/v1/chat/completions"]'))
            await chat.locator(".opblock-summary-control").click()
            await chat.locator("button.execute").click()
            answer = chat.locator(".live-responses-table .response-col_description .highlight-code")
            await answer.first.wait_for()
            assert "Echo: Say hello." in await answer.first.inner_text()
            await browser.close()
    finally:
        proxy.stop()
    assert asked and all(url.startswith(here) for url in asked), asked
    assert said == []
