"""Does what the server sent keep to the openai client's own types, to the last field?

The client itself takes anything: unknown fields are kept and wrong ones are not looked at.
"""

from __future__ import annotations

import types
import typing
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

from openai import BaseModel as ClientModel
from openai.types import Completion, CompletionChoice, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.completion_choice import Logprobs
from pydantic import BaseModel, ConfigDict, create_model

__all__ = ["ChatCompletion", "ChatCompletionChunk", "Completion", "Model", "strictly"]

# Where OpenAI's own server sends null although the client's type has none: the reason of a chunk
# that does not end its choice, and the log-probability of a text's first token.
NULL_TOO: dict[tuple[type[BaseModel], str], Any] = {
    (CompletionChoice, "finish_reason"): Literal["stop", "length"] | None,
    (Logprobs, "token_logprobs"): list[float | None] | None,
}


def strictly(kind: type[ClientModel], data: Any) -> Any:
    """`data` as the client makes a `kind` of it. Raises ValidationError for a field that
    `kind` does not have, or has otherwise, at any depth."""
    _strict(kind).model_validate(data, strict=True)
    return kind.construct(**data)


@cache
def _strict(kind: type[BaseModel]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        annotation = NULL_TOO.get((kind, name)) or _inner(field.annotation)
        default = ... if field.is_required() else field.default
        fields[name] = (annotation, default)
    config = ConfigDict(extra="forbid", strict=True)
    return create_model(f"Strict{kind.__name__}", __config__=config, **fields)


def _inner(annotation: Any) -> Any:
    """The annotation with every class of the client made strict."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return _inner(inside[0])
    if origin is Literal:
        return annotation
    if origin in (Union, types.UnionType):
        return Union[tuple(_inner(part) for part in inside)]  # noqa: UP007
    if origin is not None:
        return origin[tuple(_inner(part) for part in inside)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _strict(annotation)
    return annotation
