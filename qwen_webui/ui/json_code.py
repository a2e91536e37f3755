"""The request of the JSON tab as a program writes it: curl, and Python with the openai client, or
with httpx where documents are asked.

Only makes text, ready to run against this very server; sends nothing.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

KEY_VARIABLE = "QWEN_WEBUI_API_KEY"
_WIDTH = 88


@dataclass(frozen=True)
class Code:
    """One request, twice."""

    curl: str
    python: str


@dataclass(frozen=True)
class Call:
    """What is asked. `address` is the page's own, without a slash at its end; with `keyed` the
    server wants a key, which is read from the environment and stands in no text here. `documents`
    are the files' names: a program has no part in what the page uploaded, so it uploads them."""

    address: str
    model: str
    prompt: str
    schema: dict[str, Any]
    max_tokens: int | None
    keyed: bool
    documents: tuple[str, ...] = ()

    def code(self) -> Code:
        """The same request in both ways."""
        if self.documents:
            return Code(self._curl_documents(), self._python_documents())
        return Code(self._curl(), self._python())

    def _body(self) -> dict[str, Any]:
        name = {"name": "answer", "strict": True, "schema": self.schema}
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": self.prompt}],
            **({"max_tokens": self.max_tokens} if self.max_tokens else {}),
            "response_format": {"type": "json_schema", "json_schema": name},
        }

    def _curl(self) -> str:
        body = laid_out(self._body(), _as_json, step=2)
        key = f'  -H "Authorization: Bearer ${KEY_VARIABLE}" \\\n' if self.keyed else ""
        return (
            f"curl {shlex.quote(self.address + '/v1/chat/completions')} \\\n"
            f"  -H 'Content-Type: application/json' \\\n{key}  -d {shlex.quote(body)}"
        )

    def _python(self) -> str:
        key = f'os.environ["{KEY_VARIABLE}"]' if self.keyed else '"none"'
        most = f"    max_tokens={self.max_tokens},\n" if self.max_tokens else ""
        return (
            f"import json\n{'import os' + chr(10) if self.keyed else ''}\n"
            "from openai import OpenAI\n\n"
            f"client = OpenAI(base_url={_as_python(self.address + '/v1')}, api_key={key})\n"
            f"schema = {laid_out(self.schema, _as_python)}\n"
            "answer = client.chat.completions.create(\n"
            f"    model={_as_python(self.model)},\n"
            f"    messages={laid_out(self._body()['messages'], _as_python, 4)},\n{most}"
            "    response_format={\n"
            '        "type": "json_schema",\n'
            '        "json_schema": {"name": "answer", "strict": True, "schema": schema},\n'
            "    },\n)\n"
            "print(json.loads(answer.choices[0].message.content))"
        )

    def _question(self) -> dict[str, Any]:
        most = {"max_new_tokens": self.max_tokens} if self.max_tokens else {}
        return {"question": self.prompt, **most, "schema": self.schema}

    def _curl_documents(self) -> str:
        key = f'-H "Authorization: Bearer ${KEY_VARIABLE}" ' if self.keyed else ""
        uploads = [
            f"ID{number}=$(curl -s {key}-F {shlex.quote('file=@' + name)} "
            f"{shlex.quote(self.address + '/api/documents')} |\n"
            "  python3 -c 'import json, sys; print(json.load(sys.stdin)[\"id\"])')"
            for number, name in enumerate(self.documents, 1)
        ]
        data = shlex.quote(laid_out(self._question(), _as_json, step=2))
        if len(self.documents) > 1:
            # Out of the quotation marks, so that the shell puts the ids there.
            ids = ", ".join(f"\"'$ID{n}'\"" for n in range(2, len(self.documents) + 1))
            body = data.removesuffix("'").removesuffix("}").rstrip()
            data = f'{body}, "documents": [{ids}]}}\''
        address = f"{shlex.quote(self.address + '/api/documents/')}$ID1/ask"
        return "\n".join(
            [
                *uploads,
                f"curl {address} \\\n  -H 'Content-Type: application/json' \\\n"
                + (f"  {key}\\\n" if key else "")
                + f"  -d {data}",
            ]
        )

    def _python_documents(self) -> str:
        key = f'os.environ["{KEY_VARIABLE}"]'
        headers = f', headers={{"Authorization": "Bearer " + {key}}}' if self.keyed else ""
        most = f'    "max_new_tokens": {self.max_tokens},\n' if self.max_tokens else ""
        return (
            f"import json\n{'import os' + chr(10) if self.keyed else ''}\nimport httpx\n\n"
            f"server = httpx.Client(base_url={_as_python(self.address)}, timeout=600{headers})\n"
            "ids = []\n"
            f"for name in {laid_out(list(self.documents), _as_python)}:\n"
            '    with open(name, "rb") as file:\n'
            '        sent = server.post("/api/documents", files={"file": file})\n'
            '    ids.append(sent.raise_for_status().json()["id"])\n'
            f"schema = {laid_out(self.schema, _as_python)}\n"
            f'asked = {{\n    "question": {_as_python(self.prompt)},\n{most}'
            '    "documents": ids[1:],\n    "schema": schema,\n}\n'
            'answer = server.post(f"/api/documents/{ids[0]}/ask", json=asked).raise_for_status()\n'
            'print(json.loads(answer.json()["answer"]))'
        )


def laid_out(value: Any, leaf: Callable[[Any], str], indent: int = 0, *, step: int = 4) -> str:
    """A JSON value in many lines where it is wide; `leaf` writes what holds nothing."""
    inner = indent + step
    if isinstance(value, dict) and value:
        parts = [
            f"{leaf(name)}: {laid_out(part, leaf, inner, step=step)}"
            for name, part in value.items()
        ]
        opening, closing = "{", "}"
    elif isinstance(value, list) and value:
        parts = [laid_out(part, leaf, inner, step=step) for part in value]
        opening, closing = "[", "]"
    else:
        return leaf(value)
    line = f"{opening}{', '.join(parts)}{closing}"
    if "\n" not in line and indent + len(line) <= _WIDTH:
        return line
    # Python lets a comma end the last line, JSON does not.
    end = "," if leaf is _as_python else ""
    lines = ",\n".join(f"{' ' * inner}{part}" for part in parts)
    return f"{opening}\n{lines}{end}\n{' ' * indent}{closing}"


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _as_python(value: Any) -> str:
    # JSON's strings are Python's too, with double quotes; its three words are not.
    return _as_json(value) if isinstance(value, str) else repr(value)
