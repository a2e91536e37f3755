"""How the next token is chosen, and what an answer must look like."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

ConstraintKind = Literal["json_schema", "json_object", "regex", "choice", "tools"]


@dataclass(frozen=True)
class Constraint:
    """What every token of an answer must keep to. `value` by `kind`:

    json_schema: a JSON Schema as JSON text. json_object: empty; any JSON object. regex: a regular
    expression that the whole answer matches. choice: a JSON list of strings, one of which is the
    answer. tools: {"tools": [...], "choice": "auto" | "required" | a name, "parallel": bool} as
    JSON text, for text or calls in the Hermes form of the chat template.
    """

    kind: ConstraintKind
    value: str = ""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. `None` means the checkpoint's own default.

    temperature 0 is greedy; top_k 0 is off. The penalties are those of transformers (repetition,
    1.0 is off) and of OpenAI (presence, frequency, 0.0 is off). `logprobs` is how many
    alternatives to report for each token.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    max_new_tokens: int | None = None
    constraint: Constraint | None = None

    def over(self, defaults: Sampling) -> Sampling:
        """This value, with every field that is unset taken from `defaults`."""
        unset = {
            f.name: getattr(defaults, f.name)
            for f in dataclasses.fields(self)
            if getattr(self, f.name) in (None, ())
        }
        return dataclasses.replace(self, **unset)


UNSET = Sampling()
