"""The `llm` command-line program as a client of /v1: with and without a stream and a schema."""

from __future__ import annotations

import asyncio
import json
import os
import sysconfig
from pathlib import Path

import pytest

from qwen_webui.engines.scripted import Script
from tests.api.conftest import Served

pytestmark = pytest.mark.slow

PROGRAM = Path(sysconfig.get_path("scripts")) / "llm"
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
MODELS = """\
- model_id: local
  model_name: one
  api_base: "http://127.0.0.1:{port}/v1"
  supports_schema: true
  supports_tools: true
"""
TOOL = 'def weather(city: str) -> str:\n    "The weather in a city"\n    return f"sun in {city}"\n'


async def llm(served: Served, home: Path, *arguments: str) -> str:
    """What the program prints."""
    home.mkdir(exist_ok=True)
    (home / "extra-openai-models.yaml").write_text(MODELS.format(port=served.port))
    process = await asyncio.create_subprocess_exec(
        str(PROGRAM),
        *arguments,
        env={**os.environ, "LLM_USER_PATH": str(home)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, problems = await process.communicate()
    assert process.returncode == 0, problems.decode()
    return output.decode()


async def test_a_prompt(served: Served, tmp_path: Path) -> None:
    said = await llm(served, tmp_path / "llm", "-m", "local", "-s", "Be kind.", "Hello there")
    assert said.strip() == "Echo: Hello there"
    assert [m.role for m in served.loader.requests[-1].messages] == ["system", "user"]
    options = ("--no-stream", "-o", "temperature", "0.5", "-o", "max_tokens", "40")
    whole = await llm(served, tmp_path / "llm", "-m", "local", *options, "Hello there")
    assert whole == said
    sampling = served.loader.requests[-1].sampling
    assert (sampling.temperature, sampling.max_new_tokens) == (0.5, 40)


async def test_a_schema(served: Served, tmp_path: Path) -> None:
    served.loader.script = Script(words=('{"name": "Ada", "age": 36}',))
    arguments = ("-m", "local", "--schema", json.dumps(SCHEMA), "Ada is 36.")
    said = await llm(served, tmp_path / "llm", *arguments)
    assert json.loads(said) == {"name": "Ada", "age": 36}
    constraint = served.loader.requests[-1].sampling.constraint
    assert constraint is not None and json.loads(constraint.value) == SCHEMA


async def test_a_tool(served: Served, tmp_path: Path) -> None:
    call = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'
    served.loader.script = Script(
        answer=lambda _, request: next(
            (f"It is {m.content}." for m in request.messages if m.role == "tool"), call
        )
    )
    arguments = ("-m", "local", "--functions", TOOL, "How is Rome?")
    assert "It is sun in Rome." in await llm(served, tmp_path / "llm", *arguments)
