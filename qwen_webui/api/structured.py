"""Schemas before they are used: checked, or inferred from an example. Answers nothing itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request

from qwen_webui.api.described import body, refusals
from qwen_webui.api.wire import Strict, read_body
from qwen_webui.services import Services
from qwen_webui.structured import Problem, infer_schema

SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
STATUSES = (400, 408, 413, 422)


class CheckBody(Strict):
    """POST /api/structured/check."""

    schema_: dict[str, Any] | bool = Field(alias="schema", description="A JSON Schema")


class InferBody(Strict):
    """POST /api/structured/infer."""

    example: Any = Field(description="Any JSON value like those that are wanted")


class SchemaProblem(BaseModel):
    """One thing wrong with a schema; `place` is a JSON pointer, `#/properties/age` for example."""

    place: str
    message: str
    code: str

    @classmethod
    def of(cls, problem: Problem) -> SchemaProblem:
        """On the wire."""
        return cls(place=problem.place, message=problem.sentence, code=problem.code)


class CheckOut(BaseModel):
    """`valid`: answers can be kept to the schema."""

    valid: bool
    problems: list[SchemaProblem]


class InferOut(BaseModel):
    """A schema that the example validates against."""

    schema_: dict[str, Any] = Field(serialization_alias="schema")


def structured_routes(services: Services) -> APIRouter:
    """The router of this file."""
    router = APIRouter(tags=["Structured answers"])

    @router.post(
        "/api/structured/check",
        summary="Whether answers can be kept to a schema",
        description="What /api/generate and /v1 would say of the schema, with the checkpoint that "
        "is loaded if there is one.",
        responses=refusals(*STATUSES),
        openapi_extra=body(CheckBody, {"A schema": {"schema": SCHEMA}}),
    )
    async def check(request: Request) -> CheckOut:
        asked = await read_body(request, CheckBody)
        text = json.dumps(asked.schema_, ensure_ascii=False)
        problems = await services.structured.inspect(text, services.folder)
        return CheckOut(valid=not problems, problems=[SchemaProblem.of(p) for p in problems])

    @router.post(
        "/api/structured/infer",
        summary="A schema for values like an example",
        responses=refusals(*STATUSES),
        openapi_extra=body(InferBody, {"A person": {"example": {"name": "Ada", "age": 36}}}),
    )
    async def infer(request: Request) -> InferOut:
        asked = await read_body(request, InferBody)
        # A large example takes seconds: off the loop.
        return InferOut(schema_=await asyncio.to_thread(infer_schema, asked.example))

    return router
