"""The final check of a finished answer: strict JSON, then jsonschema with formats on.

Runs in the checker process only: a `pattern` can make Python's `re` run for ever.
"""

from __future__ import annotations

import re

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from qwen_webui.errors import GenerationFailed
from qwen_webui.structured.grammars import choices, schema_of
from qwen_webui.structured.reading import Unreadable, read_strict
from qwen_webui.structured.values import shown, step
from qwen_webui.types import Constraint

_CODE = "invalid_output"


def check(constraint: Constraint, text: str) -> None:
    """Raises GenerationFailed when the answer is not what was asked for."""
    if constraint.kind == "tools":
        return
    if constraint.kind == "regex":
        if not re.fullmatch(constraint.value, text):
            raise _failed("it does not match the regular expression")
        return
    if constraint.kind == "choice":
        if text not in choices(constraint):
            raise _failed("it is none of the choices")
        return
    try:
        value = read_strict(text)
    except Unreadable as error:
        raise _failed(f"it is not valid JSON: {error}") from error
    schema = schema_of(constraint)
    assert schema is not None, "kinds of JSON have a schema"
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    try:
        found = next(validator.iter_errors(value), None)
    except RecursionError as failure:
        raise _failed("it is nested too deep to be checked") from failure
    if found is not None:
        raise _failed(_sentence(found))


def _failed(reason: str) -> GenerationFailed:
    return GenerationFailed(
        f"The answer was finished but is not valid: {reason}. Send the request again.", code=_CODE
    )


def _sentence(error: ValidationError) -> str:
    place = "#"
    for name in error.absolute_path:
        place = step(place, name)
    return f"at {place}, {shown(error.message)} (`{error.validator}`)"
