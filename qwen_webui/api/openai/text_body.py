"""The body of POST /v1/completions, field by field, and what it asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Discriminator, Field, Tag

from qwen_webui.api.openai.fields import SharedFields
from qwen_webui.api.wire import number
from qwen_webui.errors import InvalidRequest
from qwen_webui.limits import MAX_NEW_TOKENS
from qwen_webui.types import Ask

DEFAULT_TOKENS = 16  # OpenAI's
MOST_PROMPTS = 128
REFUSED: Mapping[str, str] = {
    "suffix": "texts are continued at their end; leave it out.",
    "best_of": "ask for n answers and choose.",
}

TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
TokenIds = Annotated[list[TokenId], Field(min_length=1)]
Text = Annotated[str, Field(min_length=1)]


def _form(prompt: object) -> str:
    if not isinstance(prompt, list):
        return "text"
    first = prompt[0] if prompt else None
    if isinstance(first, list):
        return "lists"
    return "ids" if isinstance(first, int) else "texts"


Prompt = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[list[Text], Tag("texts"), Field(min_length=1, max_length=MOST_PROMPTS)]
    | Annotated[TokenIds, Tag("ids")]
    | Annotated[list[TokenIds], Tag("lists"), Field(min_length=1, max_length=MOST_PROMPTS)],
    Discriminator(_form),
]


class TextBody(SharedFields):
    """POST /v1/completions."""

    refused: ClassVar[Mapping[str, str]] = REFUSED

    prompt: Prompt = Field(
        description="Text, token ids, or several of either. No template is applied: control tokens "
        "in it count"
    )
    max_tokens: int | None = Field(
        None,
        ge=0,
        le=MAX_NEW_TOKENS,
        description=f"Most tokens of a continuation. Default {DEFAULT_TOKENS}. 0 only with echo",
    )
    echo: bool | None = Field(None, description="Begin with the prompt itself")
    logprobs: int | None = number(
        "logprobs",
        "Tell the log-probability of every token, and that many alternatives. With echo those of "
        "the prompt's tokens too, without alternatives",
    )
    suffix: None = Field(None, description=f"Not supported: {REFUSED['suffix']}")
    best_of: int | None = Field(
        None, description="Only the same as n: all answers that are computed are given"
    )

    @property
    def names(self) -> Mapping[str, str]:
        """What the client called our fields."""
        return {"max_new_tokens": "max_tokens"}

    @property
    def prompts(self) -> list[str | tuple[int, ...]]:
        """One or several."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        found: list[str | tuple[int, ...]] = []
        ids: list[int] = []
        for item in self.prompt:
            if isinstance(item, int):
                ids.append(item)
            else:
                found.append(item if isinstance(item, str) else tuple(item))
        return found or [tuple(ids)]

    @property
    def most(self) -> int:
        """Tokens of a continuation."""
        return DEFAULT_TOKENS if self.max_tokens is None else self.max_tokens

    def asks(self) -> list[Ask]:
        """One for every prompt; none if nothing is to be generated. Raises InvalidRequest for
        fields that contradict each other."""
        self.check()
        if self.best_of is not None and self.best_of != (self.n or 1):
            raise InvalidRequest(
                f"best_of is not supported: {REFUSED['best_of']}",
                code="unsupported_parameter",
                param="best_of",
            )
        if len(self.prompts) * (self.n or 1) > MOST_PROMPTS:
            raise InvalidRequest(
                f"{len(self.prompts)} prompts with n {self.n} are more than the {MOST_PROMPTS} "
                "answers that one request may ask for. Send several requests.",
                param="n",
            )
        if self.most == 0 and not self.echo:
            raise InvalidRequest(
                "max_tokens is 0, which leaves nothing to answer; 0 needs echo: true.",
                param="max_tokens",
            )
        sampling = self.sampled(logprobs=self.logprobs, most=self.most or None)
        if self.most == 0:
            return []
        return [Ask(prompt=prompt, sampling=sampling) for prompt in self.prompts]
