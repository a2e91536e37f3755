"""Hundreds of generated requests per route: every answer is as /openapi.json says, none a crash."""

from __future__ import annotations

import asyncio
import json
import logging
import sysconfig
from pathlib import Path

import pytest

from qwen_webui.engines.scripted import Script
from tests.api.conftest import Served
from tests.api.test_description import document_of, obliging

pytestmark = pytest.mark.slow

PROGRAM = Path(sysconfig.get_path("scripts")) / "schemathesis"
OPTIONS = (
    *("--phases", "examples,coverage,fuzzing", "--max-examples", "40", "--seed", "7"),
    # What fields must not be combined is told in words, no schema says it; and the scripted engine
    # does not keep to a form, which is a 500 of its own. The log tells of any other.
    *("--exclude-checks", "positive_data_acceptance,not_a_server_error"),
    "--continue-on-failure",
    # They advise on its configuration: ids are made up on purpose, so that many are not found.
    *("--warnings", "off"),
    # After it every answer is a 503.
    *("--exclude-path", "/api/models/unload"),
)


async def run(folder: Path, *arguments: str) -> tuple[int | None, str]:
    """Exit code and output."""
    process = await asyncio.create_subprocess_exec(
        str(PROGRAM),
        "run",
        *arguments,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_no_answer_is_undocumented(
    served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served.loader.script = Script(answer=obliging)
    del served.library.specs["far"]  # its download never ends
    url = f"http://127.0.0.1:{served.port}/openapi.json"
    code, output = await run(tmp_path, url, *OPTIONS)
    assert code == 0 and "No issues found" in output, output
    assert "Tested: 28" in output
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_of_a_document_that_is_there(served: Served, tmp_path: Path) -> None:
    """Above, its id is anything, so that it is never found."""
    served.loader.script = Script(answer=obliging)
    files = {"file": ("a.txt", "Ada is 36.")}
    id = (await served.client.post("/api/documents", files=files)).json()["id"]
    document = await document_of(served)
    paths = document["paths"].items()
    document["paths"] = {p: item for p, item in paths if p.startswith("/api/documents/{id}/")}
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation["parameters"]:
                if parameter["name"] == "id":
                    parameter["schema"] = {"const": id}
                    parameter["examples"] = {"a": {"value": id}}
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    server = ("--url", f"http://127.0.0.1:{served.port}")
    # Another id is no wrong value but another document.
    options = ("--exclude-checks", "positive_data_acceptance,negative_data_rejection")
    code, output = await run(tmp_path, str(file), *server, *OPTIONS[:6], *options)
    assert code == 0 and "No issues found" in output, output
    assert "Tested: 3" in output
    assert len(served.loader.requests) > 5


@pytest.mark.parametrize("lie", ["status", "shape", "event"])
async def test_a_lie_in_the_description_is_found(served: Served, tmp_path: Path, lie: str) -> None:
    document = await document_of(served)
    path = "/api/generate" if lie == "event" else "/v1/models/{id}"
    operation = next(iter(document["paths"][path].values()))
    document["paths"] = {path: document["paths"][path]}
    if lie == "status":
        del operation["responses"]["404"]
    elif lie == "shape":
        document["components"]["schemas"]["Problem"]["required"] = ["error", "surprise"]
    else:
        document["components"]["schemas"]["FinishOut"]["required"].append("surprise")
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    server = ("--url", f"http://127.0.0.1:{served.port}")
    code, output = await run(tmp_path, str(file), *server, *OPTIONS[:8])
    assert code == 1 and "Failures:" in output, output
