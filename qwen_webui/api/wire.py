"""What crosses the wire: JSON bodies in, JSON bodies out. Nothing is coerced on the way in.

Ranges of sampling values are those of limits.py; here stand the fields and their types.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from qwen_webui.errors import InvalidRequest, SchemaRefused
from qwen_webui.limits import MAX_STOP_LENGTH, MAX_STOP_STRINGS, RANGES, check_sampling
from qwen_webui.structured.reading import too_deep
from qwen_webui.types import ChatTurn, Constraint, Queued, Sampling, Usage

JSON = "application/json"
SHOWN_PROBLEMS, SHOWN_LETTERS = 3, 100
# Beyond these a body is no mistake but an attempt: to list its problems would take seconds.
MOST_PROBLEMS = 100
# Fields that hold a JSON Schema.
_OF_SCHEMAS = frozenset({"schema", "parameters", "json"})
Body = TypeVar("Body", bound=BaseModel)


StopText = Annotated[str, Field(min_length=1, max_length=MAX_STOP_LENGTH)]


class Strict(BaseModel):
    """A body as sent: no unknown field, no text for a number, no NaN."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


def number(name: str, about: str) -> Any:
    """A sampling field with its range for the description; limits.py checks it."""
    allowed = RANGES[name]
    least = "exclusiveMinimum" if allowed.above_low else "minimum"
    return Field(
        None,
        description=about,
        json_schema_extra={least: allowed.low, "maximum": allowed.high},
    )


class Answering(Strict):
    """How to answer, whatever is asked. A field left out, or null, means the persona's or
    checkpoint's value."""

    max_new_tokens: int | None = number(
        "max_new_tokens", "Most tokens of the answer. Default: 2048, or what the context leaves"
    )
    temperature: float | None = number("temperature", "0 is greedy")
    top_p: float | None = number("top_p", "Only the likeliest tokens of that probability in all")
    top_k: int | None = number("top_k", "Only that many of the likeliest tokens; 0 is off")
    min_p: float | None = number("min_p", "Only tokens with that part of the likeliest's chance")
    repetition_penalty: float | None = number("repetition_penalty", "1 is off")
    presence_penalty: float | None = number("presence_penalty", "As OpenAI's; 0 is off")
    frequency_penalty: float | None = number("frequency_penalty", "As OpenAI's; 0 is off")
    seed: int | None = number("seed", "The same seed gives the same answer")
    stop: StopText | Annotated[list[StopText], Field(max_length=MAX_STOP_STRINGS)] | None = Field(
        None, description="Texts that end the answer and are not part of it"
    )
    system: str | None = Field(None, description="The system message; goes before persona's")
    persona: str | None = Field(None, description="An id of GET /api/personas")
    stream: bool = Field(False, description="Server-sent events instead of one answer")
    schema_: dict[str, Any] | None = Field(
        None, alias="schema", description="A JSON Schema that the answer validates against"
    )
    regex: str | None = Field(
        None, description="A regular expression that the whole answer matches"
    )
    choices: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="The answer is one of these texts"
    )

    def answering(self) -> Sampling:
        """What they say together. Raises InvalidRequest naming a field out of its range."""
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        sampling = Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            seed=self.seed,
            stop=stop,
            max_new_tokens=self.max_new_tokens,
            constraint=self._constraint(),
        )
        check_sampling(sampling)
        return sampling

    def _constraint(self) -> Constraint | None:
        asked: list[Constraint] = []
        if self.schema_ is not None:
            asked.append(Constraint("json_schema", json.dumps(self.schema_, ensure_ascii=False)))
        if self.regex is not None:
            asked.append(Constraint("regex", self.regex))
        if self.choices is not None:
            asked.append(Constraint("choice", json.dumps(self.choices, ensure_ascii=False)))
        if len(asked) > 1:
            raise InvalidRequest(
                "schema, regex and choices exclude each other. Send one of them.", param="schema"
            )
        return asked[0] if asked else None


class Prompt(Strict):
    """What is asked of /api/generate."""

    prompt: str = Field(min_length=1, description="What the user says; not only white space")


# The last base's fields come first on the wire.
class GenerateBody(Answering, Prompt):
    """POST /api/generate. A field left out, or null, means the persona's or checkpoint's value."""

    def turn(self, request_id: str) -> ChatTurn:
        """The turn that is asked for. Raises InvalidRequest naming a field out of its range."""
        if not self.prompt.strip():
            raise InvalidRequest("The prompt is empty. Send the text to answer.", param="prompt")
        return ChatTurn(
            text=self.prompt,
            persona=self.persona,
            system=self.system,
            sampling=self.answering(),
            fit_history=False,
            request_id=request_id,
        )


class LoadBody(Strict):
    """POST /api/models/load. `wait` true answers when the load is done; false refuses with 409
    when another is under way; left out, the load takes its turn and the answer comes at once."""

    name: str = Field(description="A name of GET /api/models, or a hub id")
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


class HeldPlaceOut(PlaceOut):
    """The request waits for a job that has the model."""

    why: str


def place_out(queued: Queued) -> PlaceOut:
    """What a client that waits is told."""
    if queued.why is not None:
        return HeldPlaceOut(place=queued.place, why=queued.why)
    return PlaceOut(place=queued.place)


async def json_content(request: Request) -> bytes:
    """The body, said to be JSON: what a plain form could send is refused, so that no foreign page
    can. Raises InvalidRequest."""
    sent = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if sent != JSON:
        raise InvalidRequest(f"The body must be JSON, with the header Content-Type: {JSON}.")
    return await request.body()


async def read_body(request: Request, kind: type[Body]) -> Body:
    """The request's body as `kind`. Raises InvalidRequest with every problem, the first named in
    `param`."""
    content = await json_content(request)
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        if (deep := nested_too_deep(error, content)) is not None:
            raise deep from None
        if error.error_count() > MOST_PROBLEMS:
            raise InvalidRequest(
                f"The body has {error.error_count()} wrong fields or values; known fields are "
                f"{', '.join(fields_of(kind))}."
            ) from None
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidRequest(
            " ".join(_sentence(p, kind) for p in problems[:SHOWN_PROBLEMS]),
            param=_param(problems[0]),
        ) from None


def refuse_other_parameters(request: Request, names: Collection[str]) -> None:
    """A misspelt question would else be answered as another. Raises InvalidRequest."""
    for name in request.query_params:
        if name not in names:
            raise InvalidRequest(
                f"There is no parameter {name[:80]!r} here; there are {', '.join(names)}.",
                param=name[:80],
            )


def nested_too_deep(error: ValidationError, content: bytes) -> InvalidRequest | None:
    """What to say of a body that nests deeper than can be read; None for another fault."""
    if error.error_count() > 1 or error.errors(include_input=False)[0]["type"] != "json_invalid":
        return None
    found = too_deep(content.decode(errors="replace"))
    if found is None:
        return None
    steps = found.place.removeprefix("#/").split("/")
    if steps[0].isdigit():
        return InvalidRequest("The body is nested too deep to be read. Send an object of fields.")
    place = re.sub(r"\.(\d+)\b", r"[\1]", ".".join(steps[:-1])) + steps[-1]
    if _OF_SCHEMAS.isdisjoint(steps):
        said = f"The body is nested too deep to be read, at {place}. Flatten it."
        return InvalidRequest(said, param=place)
    return SchemaRefused(f"{found.sentence} It stands at {place}.", code=found.code, param=place)


def fields_of(kind: type[BaseModel]) -> tuple[str, ...]:
    """The fields of a body as they are called on the wire."""
    return tuple(field.alias or name for name, field in kind.model_fields.items())


def _param(problem: ErrorDetails) -> str | None:
    # A union repeats its members' names after the field's own; those mean nothing to a client.
    return str(problem["loc"][0])[:SHOWN_LETTERS] if problem["loc"] else None


def _sentence(problem: ErrorDetails, kind: type[BaseModel]) -> str:
    name = _param(problem)
    if problem["type"] == "extra_forbidden":
        return f"There is no field {name!r}; known are {', '.join(fields_of(kind))}."
    if problem["type"] == "missing":
        return f"The field {name!r} is missing."
    if name is None:
        return f"The body cannot be read: {problem['msg']}."
    return f"{name}: {problem['msg']}."
