"""What crosses between the web process and the process that checks: one line of JSON each way."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal

from qwen_webui.errors import CheckpointError, GenerationFailed, SchemaRefused, WebUIError
from qwen_webui.structured.values import Problem
from qwen_webui.types import Constraint, ConstraintKind

Work = Literal["read", "prepare", "check", "inspect"]
_ERRORS: dict[str, type[WebUIError]] = {
    kind.__name__: kind for kind in (SchemaRefused, GenerationFailed, CheckpointError)
}


@dataclass(frozen=True)
class Job:
    """read: the vocabulary in `folder`, without one the validator, so that later jobs need not.
    prepare: compile the constraint with `folder`. check: `text` against the constraint. inspect:
    every problem of the schema in `value`.

    Each has one Result, and prepare two: the first has as its problem what is to blame if the
    second never comes."""

    work: Work
    kind: ConstraintKind = "json_schema"
    value: str = ""
    folder: str | None = None
    text: str = ""

    @property
    def constraint(self) -> Constraint:
        """The constraint it is about."""
        return Constraint(self.kind, self.value)

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def of_line(cls, line: str) -> Job:
        """The job that `line` made."""
        return cls(**json.loads(line))


@dataclass(frozen=True)
class Result:
    """The answer to a job: an error, or what was found."""

    needed_tokens: int | None = None
    problems: tuple[Problem, ...] = ()
    error: str = ""
    message: str = ""
    code: str | None = None
    param: str | None = None

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def of_line(cls, line: str | bytes) -> Result:
        """The result that `line` made."""
        found = json.loads(line)
        problems = tuple(Problem(**problem) for problem in found.pop("problems"))
        return cls(**found, problems=problems)

    @classmethod
    def of_error(cls, error: WebUIError) -> Result:
        """An error on its way out of the process."""
        return cls(
            error=type(error).__name__, message=error.message, code=error.code, param=error.param
        )

    def raised(self) -> Result:
        """Itself, or the error that the other process raised."""
        if self.error:
            kind = _ERRORS.get(self.error, SchemaRefused)
            raise kind(self.message, code=self.code, param=self.param)
        return self
