"""What /openapi.json says of a route beside its path: bodies, refusals, streams; and the document.

A body's schema is that of the class that reads it, so the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field
from pydantic.json_schema import JsonSchemaMode

from qwen_webui import __version__
from qwen_webui.api.wire import JSON

REF = "#/components/schemas/{model}"
EVENTS = "text/event-stream"
Examples = Mapping[str, Mapping[str, Any]]

ABOUT = """\
The API of a qwen-webui server: its own under `/api`, and OpenAI's under `/v1`.

Every error has the shape of `Problem`. `code` is stable and meant for programs, `message` for
people. Values that cannot be used are 422 under `/api` and, as OpenAI has it, 400 under `/v1`.
Every answer has an `x-request-id`, under which the server's log tells of it.
"""
SECURITY: Mapping[str, Mapping[str, str]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "`Authorization: Bearer KEY`, where the server was started with keys",
    },
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same"},
}
LOGIN = {"type": "apiKey", "in": "cookie", "description": "The page's, after its login"}
WHY: Mapping[int, str] = {
    400: "A value cannot be used, or the prompt is longer than the context",
    401: "The server has keys, and the request has none of them",
    403: "A foreign host name or page, or an administrator's key is needed",
    404: "There is nothing of that name",
    408: "The body came too slowly",
    409: "Another load or a comparison is under way, or this one was cancelled; a document was "
    "changed meanwhile",
    413: "The body is too large, or your documents take too much room",
    415: "The file is of a kind that is not read, or not what its name says",
    422: "A value cannot be used",
    429: "The waiting line is full, too many uploads are under way, or too many wrong keys came; "
    "`Retry-After` says when to come back",
    500: "The server failed; or an answer did not meet its schema",
    502: "A download failed",
    503: "No model is ready, it was cut by a swap, ran out of memory, or the server stops",
    504: "The engine gave no token for too long",
    507: "It does not fit into the memory or on the disk",
}
# What the access layer says to any request, whatever the route.
OPEN = (403, 500, 503)
EVERYWHERE = (401, 429, *OPEN)


class ProblemDetail(BaseModel):
    """What went wrong."""

    message: str = Field(description="What was wrong, what was expected, what to do")
    type: str = Field(description="invalid_request_error, overloaded or server_error")
    code: str = Field(description="Stable; for programs")
    param: str | None = Field(description="The field at fault")


class Problem(BaseModel):
    """The one shape of every error."""

    error: ProblemDetail


def refusals(*statuses: int, keyed: bool = True) -> dict[int | str, dict[str, Any]]:
    """The responses of a route that refuses with `statuses` beside those that any route has;
    `keyed` unless it answers without a key."""
    everywhere = EVERYWHERE if keyed else OPEN
    return {
        status: {"model": Problem, "description": WHY[status]}
        for status in sorted({*everywhere, *statuses})
    }


def body(kind: type[BaseModel], examples: Examples) -> dict[str, Any]:
    """The part of an operation that describes a body read as `kind`; `examples` by summary."""
    shown = {
        name.lower().replace(" ", "-"): {"summary": name, "value": dict(value)}
        for name, value in examples.items()
    }
    content = {JSON: {"schema": _schema(kind), "examples": shown}}
    return {"requestBody": {"required": True, "content": content}}


def stream_of(
    *kinds: type[BaseModel], example: str, last: str | None = None
) -> dict[int | str, dict[str, Any]]:
    """The response of a route that can also stream: the JSON of its events is of one of `kinds` or
    an error; `last` is the data of the last event, if that is no JSON."""
    every: tuple[type[BaseModel], ...] = (*kinds, Problem)
    forms = [_schema(kind, "serialization") for kind in every]
    json_data = {"contentMediaType": JSON, "contentSchema": {"anyOf": forms}}
    data = {"anyOf": [json_data, {"const": last}]} if last else json_data
    schema = {
        "type": "object",
        "description": "One event of a stream",
        "properties": {"data": {"type": "string", **data}, "event": {"type": "string"}},
        "required": ["data"],
    }
    content = {EVENTS: {"schema": schema, "example": example}}
    return {200: {"description": "The answer, whole or as a stream", "content": content}}


def path_parameter(name: str, about: str, example: str) -> dict[str, Any]:
    """The part of an operation that describes a part of its path."""
    schema = {"type": "string", "minLength": 1}
    parameter = {"name": name, "in": "path", "required": True, "schema": schema}
    return {"parameters": [{**parameter, "description": about, "example": example}]}


def document(api: FastAPI, cookie: str) -> dict[str, Any]:
    """The OpenAPI document of every route of `api`; `cookie` is the login's."""
    made = get_openapi(title=api.title, version=__version__, description=ABOUT, routes=api.routes)
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    _gather(made["paths"], schemas)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemes = {**SECURITY, "login": {**LOGIN, "name": cookie}}
    made["components"]["securitySchemes"] = {k: dict(v) for k, v in schemes.items()}
    # The empty one first: a server without keys asks for none.
    made["security"] = [{}, *({name: []} for name in schemes)]
    return made


def _schema(kind: type[BaseModel], mode: JsonSchemaMode = "validation") -> dict[str, Any]:
    """A reference to the class's schema, carrying the schemas until `_gather` has put them into
    the document."""
    whole = _without_null_defaults(kind.model_json_schema(ref_template=REF, mode=mode))
    carried = {**whole.pop("$defs", {}), kind.__name__: whole}
    return {"$ref": REF.format(model=kind.__name__), "$defs": carried}


def _without_null_defaults(part: Any) -> Any:
    # As FastAPI writes the schemas of responses: left out and null mean the same.
    if isinstance(part, dict):
        kept = {k: v for k, v in part.items() if k != "default" or v is not None}
        return {name: _without_null_defaults(inner) for name, inner in kept.items()}
    return [_without_null_defaults(inner) for inner in part] if isinstance(part, list) else part


def _gather(part: Any, schemas: dict[str, Any]) -> None:
    if isinstance(part, dict):
        for name, schema in part.pop("$defs", {}).items():
            assert schemas.setdefault(name, schema) == schema, f"two different classes {name}"
        for inner in part.values():
            _gather(inner, schemas)
    elif isinstance(part, list):
        for inner in part:
            _gather(inner, schemas)
