"""The body of POST /api/compare, and what it asks for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from qwen_webui.api.wire import StopText, Strict, number
from qwen_webui.comparison import Prompt, Wanted
from qwen_webui.comparison.wanted import MOST_CHECKPOINTS, MOST_PROMPTS
from qwen_webui.errors import InvalidRequest, ModelNotReady, NotFound
from qwen_webui.limits import MAX_STOP_STRINGS
from qwen_webui.services import Services
from qwen_webui.types import Message, Precision, Sampling

TITLE_LETTERS = 60


def _counted(most: int) -> dict[str, JsonValue]:
    """For the description; comparison/ refuses other counts in its own words."""
    return {"minItems": 1, "maxItems": most}


class TurnIn(Strict):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class CompareBody(Strict):
    """POST /api/compare."""

    checkpoints: list[str] | None = Field(
        None,
        description=f"1 to {MOST_CHECKPOINTS} names of GET /api/models",
        json_schema_extra=_counted(MOST_CHECKPOINTS),
    )
    precisions: list[Precision] | None = Field(
        None,
        description="In the place of names: precisions of the loaded model",
        json_schema_extra=_counted(MOST_CHECKPOINTS),
    )
    prompts: list[str] | None = Field(
        None,
        description=f"1 to {MOST_PROMPTS} texts, each a user's turn of its own",
        json_schema_extra=_counted(MOST_PROMPTS),
    )
    messages: list[TurnIn] | None = Field(
        None, description="In the place of prompts: a conversation that ends with the user's turn"
    )
    system: str | None = Field(None, description="The system message before every prompt")
    max_new_tokens: int | None = number(
        "max_new_tokens", "Most tokens of an answer. Default: 2048, or what the context leaves"
    )
    temperature: float | None = number("temperature", "Left out, or 0, is greedy")
    top_p: float | None = number("top_p", "Only the likeliest tokens of that probability in all")
    top_k: int | None = number("top_k", "Only that many of the likeliest tokens; 0 is off")
    min_p: float | None = number("min_p", "Only tokens with that part of the likeliest's chance")
    repetition_penalty: float | None = number("repetition_penalty", "1 is off")
    presence_penalty: float | None = number("presence_penalty", "As OpenAI's; 0 is off")
    frequency_penalty: float | None = number("frequency_penalty", "As OpenAI's; 0 is off")
    seed: int | None = number("seed", "The same seed gives the same answer")
    stop: Annotated[list[StopText], Field(max_length=MAX_STOP_STRINGS)] | None = Field(
        None, description="Texts that end an answer and are not part of it"
    )

    def wanted(self, services: Services) -> Wanted:
        """What it asks for. Raises InvalidRequest, NotFound and ModelNotReady."""
        return Wanted(self._checkpoints(services), self._prompts(), self._sampling())

    def _sampling(self) -> Sampling:
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            seed=self.seed,
            stop=tuple(self.stop or ()),
            max_new_tokens=self.max_new_tokens,
        )

    def _checkpoints(self, services: Services) -> tuple[str, ...]:
        if (self.checkpoints is None) == (self.precisions is None):
            raise InvalidRequest(
                "Say what to compare: send either checkpoints or precisions.", param="checkpoints"
            )
        if self.checkpoints is not None:
            return tuple(self.checkpoints)
        info = services.manager.status().info
        if info is None:
            raise ModelNotReady("No model is loaded whose precisions were meant. Name checkpoints.")
        loaded = info.checkpoint
        found = {
            spec.precision: spec.name
            for spec in services.library.all()
            if (spec.family, spec.size) == (loaded.family, loaded.size)
        }
        for precision in self.precisions or ():
            if precision not in found:
                raise NotFound(
                    f"The loaded model is not there as {precision}; it is as {', '.join(found)}.",
                    param="precisions",
                )
        return tuple(found[precision] for precision in self.precisions or ())

    def _prompts(self) -> tuple[Prompt, ...]:
        if (self.prompts is None) == (self.messages is None):
            raise InvalidRequest(
                "Say what to ask: send either prompts or messages.", param="prompts"
            )
        if self.messages is None:
            before = (Message("system", self.system),) if self.system is not None else ()
            said = [(*before, Message("user", text)) for text in self.prompts or ()]
        elif self.system is not None:
            raise InvalidRequest(
                "system goes with prompts. Send it as the first of the messages.", param="system"
            )
        else:
            said = [tuple(Message(turn.role, turn.content) for turn in self.messages)]
        return tuple(Prompt(_title(messages), messages) for messages in said)


def _title(messages: tuple[Message, ...]) -> str:
    return " ".join(messages[-1].content.split())[:TITLE_LETTERS] if messages else ""
