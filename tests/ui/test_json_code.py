"""The request as a program writes it: both texts run, and ask the very same."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from qwen_webui.ui.json_code import Call

TRICKY = "It's \"quoted\" $HOME `id` \\n\n沈青禾 {'a'} %s </script>"
SCHEMA = {
    "type": "object",
    "properties": {TRICKY: {"enum": [None, True, False, -1, 2.5, TRICKY]}, "x" * 90: {}},
    "required": [],
    "additionalProperties": False,
}


def call(**changes: Any) -> Call:
    values = {
        **{"address": "http://127.0.0.1:7860", "model": "demo-fp16", "prompt": TRICKY},
        **{"schema": SCHEMA, "max_tokens": 256, "keyed": False},
    }
    return Call(**(values | changes))


class Client:
    """In place of OpenAI's."""

    def __init__(self, said: list[Any]) -> None:
        self.said = said
        self.chat = self.completions = self

    def __call__(self, **settings: Any) -> Client:
        self.said.append(settings)
        return self

    def create(self, **body: Any) -> Any:
        self.said.append(body)
        message = type("Message", (), {"content": '{"a": 1}'})
        choice = type("Choice", (), {"message": message})
        return type("Answer", (), {"choices": [choice]})


def run(python: str) -> list[Any]:
    said: list[Any] = []
    scope: dict[str, Any] = {"OpenAI": Client(said), "print": said.append}
    lines = [line for line in python.split("\n") if not line.startswith("from openai")]
    exec("\n".join(lines), scope)
    return said


def test_both_ask_the_same() -> None:
    code = call().code()
    words = shlex.split(code.curl.replace("\\\n", " "))
    assert words[:2] == ["curl", "http://127.0.0.1:7860/v1/chat/completions"]
    body = json.loads(words[words.index("-d") + 1])
    assert body["messages"] == [{"role": "user", "content": TRICKY}]
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    settings, asked, answer = run(code.python)
    assert settings == {"base_url": "http://127.0.0.1:7860/v1", "api_key": "none"}
    assert asked == body
    assert answer == {"a": 1}


def test_a_key_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QWEN_WEBUI_API_KEY", "from outside")
    code = call(keyed=True).code()
    assert "Bearer $QWEN_WEBUI_API_KEY" in code.curl
    assert run(code.python)[0]["api_key"] == "from outside"


def test_without_a_length_none_is_sent() -> None:
    code = call(max_tokens=None).code()
    assert "max_tokens" not in code.curl and "max_tokens" not in code.python


def test_short_values_stay_on_their_line() -> None:
    short, long = {"a": [1, None, True]}, {"a": "x" * 50, "b": ["y" * 50]}
    code = call(prompt="Hi", schema={"properties": short, "x": long}).code()
    assert '    "properties": {"a": [1, None, True]},\n    "x": {\n        "a": "xxx' in code.python
    assert '"properties": {"a": [1, null, true]},\n' in code.curl
    assert '    messages=[{"role": "user", "content": "Hi"}],\n' in code.python
