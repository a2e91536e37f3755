"""The body of POST /v1/chat/completions, field by field, and what it asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from qwen_webui.api.openai.fields import SharedFields
from qwen_webui.api.openai.messages import ChatMessage, conversation
from qwen_webui.api.openai.tools import (
    Choice,
    Format,
    Tool,
    chosen,
    constraint_of,
    offered,
)
from qwen_webui.api.wire import number
from qwen_webui.errors import InvalidRequest
from qwen_webui.structured.tools import MAX_TOOLS
from qwen_webui.types import Ask

NO_AUDIO = "this server reads and writes text."
NO_STORE = "nothing is stored here; leave it out."
NO_CACHE = "prompts are not cached by name; leave it out."
REFUSED: Mapping[str, str] = {
    "audio": NO_AUDIO,
    "modalities": NO_AUDIO,
    "functions": "use tools.",
    "function_call": "use tool_choice.",
    "metadata": NO_STORE,
    "store": NO_STORE,
    "moderation": "answers are not moderated; leave it out.",
    "prediction": "answers are not predicted; leave it out.",
    "prompt_cache_key": NO_CACHE,
    "prompt_cache_options": NO_CACHE,
    "prompt_cache_retention": NO_CACHE,
    "reasoning_effort": "the models here do not reason before they answer; leave it out.",
    "service_tier": "there is one tier; leave it out.",
    "verbosity": "ask for short or long answers in a message.",
    "web_search_options": "this server does not search; leave it out.",
}


def _refused(name: str) -> str:
    return f"Not supported: {REFUSED[name]}"


class ChatBody(SharedFields):
    """POST /v1/chat/completions."""

    refused: ClassVar[Mapping[str, str]] = REFUSED

    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: int | None = number(
        "max_new_tokens", "Most tokens of the answer. Default: 2048, or what the context leaves"
    )
    max_tokens: int | None = number("max_new_tokens", "The older name of max_completion_tokens")
    logprobs: bool | None = Field(None, description="Tell the log-probability of every token")
    top_logprobs: int | None = number("logprobs", "Alternatives of every token; needs logprobs")
    response_format: Format | None = None
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Choice | None = Field(
        None, description="Default auto. none: the model is not told of the tools"
    )
    parallel_tool_calls: bool | None = Field(None, description="false: at most one call")
    safety_identifier: str | None = Field(None, description="Means the same as user")

    audio: None = Field(None, description=_refused("audio"))
    modalities: list[Literal["text"]] | None = Field(None, description='Only ["text"]')
    functions: None = Field(None, description=_refused("functions"))
    function_call: None = Field(None, description=_refused("function_call"))
    metadata: Annotated[dict[str, str], Field(max_length=0)] | None = Field(
        None, description=_refused("metadata")
    )
    store: Literal[False] | None = Field(None, description=_refused("store"))
    moderation: None = Field(None, description=_refused("moderation"))
    prediction: None = Field(None, description=_refused("prediction"))
    prompt_cache_key: None = Field(None, description=_refused("prompt_cache_key"))
    prompt_cache_options: None = Field(None, description=_refused("prompt_cache_options"))
    prompt_cache_retention: None = Field(None, description=_refused("prompt_cache_retention"))
    reasoning_effort: Literal["none"] | None = Field(None, description=_refused("reasoning_effort"))
    service_tier: Literal["auto", "default"] | None = Field(
        None, description=_refused("service_tier")
    )
    verbosity: Literal["medium"] | None = Field(None, description=_refused("verbosity"))
    web_search_options: None = Field(None, description=_refused("web_search_options"))

    @property
    def names(self) -> Mapping[str, str]:
        """What the client called our fields."""
        most = "max_tokens" if self.max_completion_tokens is None else "max_completion_tokens"
        return {"max_new_tokens": most, "logprobs": "top_logprobs", "prompt": "messages"}

    def ask(self) -> Ask:
        """What is asked. Raises InvalidRequest for fields that contradict each other."""
        self.check()
        tools = tuple(self.tools or ())
        constraint = constraint_of(self.response_format)
        choice = chosen(self.tool_choice, tools)
        formed = "structured_outputs" if self.structured_outputs else "response_format"
        if tools and choice != "none" and (constraint or self.structured_outputs):
            raise InvalidRequest(
                f"{formed} and tools cannot be combined: an answer is either of that form or text "
                'with calls. Send one of them, or "tool_choice": "none".',
                code="unsupported_parameter",
                param=formed,
            )
        sampling = self.sampled(logprobs=self._logprobs(), most=self._most(), constraint=constraint)
        return Ask(
            messages=conversation(self.messages),
            sampling=sampling,
            tools=offered(tools),
            tool_choice=choice,
            parallel_calls=self.parallel_tool_calls is not False,
        )

    def _logprobs(self) -> int | None:
        if self.top_logprobs is not None and not self.logprobs:
            raise InvalidRequest(
                "top_logprobs is only taken together with logprobs: true.", param="top_logprobs"
            )
        return (self.top_logprobs or 0) if self.logprobs else None

    def _most(self) -> int | None:
        old, new = self.max_tokens, self.max_completion_tokens
        if old is not None and new is not None and old != new:
            raise InvalidRequest(
                f"max_tokens is {old} and max_completion_tokens is {new}; they mean the same. "
                "Send one of them.",
                param="max_tokens",
            )
        return old if new is None else new
