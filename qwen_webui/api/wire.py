"""What crosses the wire: JSON bodies in, JSON bodies out. Nothing is coerced on the way in.

Ranges of sampling values are those of limits.py; here stand the fields and their types.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from qwen_webui.errors import InvalidRequest
from qwen_webui.limits import check_sampling
from qwen_webui.types import ChatTurn, Sampling, Usage

JSON = "application/json"
SHOWN_PROBLEMS, SHOWN_LETTERS = 3, 100
# Beyond these a body is no mistake but an attempt: to list its problems would take seconds.
MOST_PROBLEMS = 100
Body = TypeVar("Body", bound=BaseModel)


class Strict(BaseModel):
    """A body as sent: no unknown field, no text for a number, no NaN."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class GenerateBody(Strict):
    """POST /api/generate. A field left out, or null, means the persona's or checkpoint's value."""

    prompt: str
    max_new_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    system: str | None = None
    persona: str | None = None
    stream: bool = False

    def turn(self, request_id: str) -> ChatTurn:
        """The turn that is asked for. Raises InvalidRequest naming a field out of its range."""
        if not self.prompt.strip():
            raise InvalidRequest("The prompt is empty. Send the text to answer.", param="prompt")
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        sampling = Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            repetition_penalty=self.repetition_penalty,
            seed=self.seed,
            stop=stop,
            max_new_tokens=self.max_new_tokens,
        )
        check_sampling(sampling)
        return ChatTurn(
            text=self.prompt,
            persona=self.persona,
            system=self.system,
            sampling=sampling,
            fit_history=False,
            request_id=request_id,
        )


class LoadBody(Strict):
    """POST /api/models/load. `wait` true answers when the load is done; false refuses with 409
    when another is under way; left out, the load takes its turn and the answer comes at once."""

    name: str
    wait: bool | None = None


class UsageOut(BaseModel):
    """Counts in tokens, times in seconds."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int
    seconds_to_first_token: float
    seconds: float
    tokens_per_second: float

    @classmethod
    def of(cls, usage: Usage) -> UsageOut:
        """From the engine's own count."""
        return cls(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.prompt_tokens + usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            seconds_to_first_token=usage.seconds_to_first_token,
            seconds=usage.seconds,
            tokens_per_second=usage.tokens_per_second,
        )


class FinishOut(BaseModel):
    """The last event of a stream."""

    usage: UsageOut
    model: str
    finish_reason: str


class AnswerOut(FinishOut):
    """An answer in one piece."""

    text: str


class TextOut(BaseModel):
    """Text to append to what came before."""

    text: str


class PlaceOut(BaseModel):
    """The request waits; place 1 is next."""

    place: int


async def read_body(request: Request, kind: type[Body]) -> Body:
    """The request's body as `kind`. Raises InvalidRequest with every problem, the first named in
    `param`; a body that a plain form could send is refused, so that no foreign page can."""
    sent = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if sent != JSON:
        raise InvalidRequest(f"The body must be JSON, with the header Content-Type: {JSON}.")
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        if error.error_count() > MOST_PROBLEMS:
            raise InvalidRequest(
                f"The body has {error.error_count()} wrong fields or values; known fields are "
                f"{', '.join(kind.model_fields)}."
            ) from None
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidRequest(
            " ".join(_sentence(p, kind) for p in problems[:SHOWN_PROBLEMS]),
            param=_param(problems[0]),
        ) from None


def body_schema(kind: type[BaseModel]) -> dict[str, Any]:
    """The part of an OpenAPI operation that describes a body read by `read_body`."""
    content = {JSON: {"schema": kind.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


def _param(problem: ErrorDetails) -> str | None:
    # A union repeats its members' names after the field's own; those mean nothing to a client.
    return str(problem["loc"][0])[:SHOWN_LETTERS] if problem["loc"] else None


def _sentence(problem: ErrorDetails, kind: type[BaseModel]) -> str:
    name = _param(problem)
    if problem["type"] == "extra_forbidden":
        return f"There is no field {name!r}; known are {', '.join(kind.model_fields)}."
    if problem["type"] == "missing":
        return f"The field {name!r} is missing."
    if name is None:
        return f"The body cannot be read: {problem['msg']}."
    return f"{name}: {problem['msg']}."
