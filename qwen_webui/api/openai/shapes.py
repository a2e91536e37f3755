"""What /v1 answers, field by field as OpenAI's clients know it. Only fields that were set are sent,
so that a chunk carries what it changes and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel

from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import TokenLogprob, Usage

FinishReason = Literal["stop", "length", "tool_calls"]


class PromptDetails(BaseModel):
    """`cached_tokens` of the prompt were not computed anew."""

    cached_tokens: int


class TokenUsage(BaseModel):
    """Tokens. A prompt counts once, however many answers to it were asked for."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails

    @classmethod
    def of(cls, prompts: Iterable[Usage], answers: Iterable[Usage]) -> TokenUsage:
        """From the engine's counts: one of each prompt, one of each answer."""
        first = list(prompts)
        asked = sum(usage.prompt_tokens for usage in first)
        said = sum(usage.completion_tokens for usage in answers)
        return cls(
            prompt_tokens=asked,
            completion_tokens=said,
            total_tokens=asked + said,
            prompt_tokens_details=PromptDetails(
                cached_tokens=sum(usage.cached_tokens for usage in first)
            ),
        )


class TopLogprob(BaseModel):
    """Natural logarithm; `bytes` because a token may hold part of a character."""

    token: str
    logprob: float
    bytes: list[int]


class TokenOut(TopLogprob):
    """One token of the answer with the likeliest in its place."""

    top_logprobs: list[TopLogprob]

    @classmethod
    def of(cls, told: TokenLogprob, tokenizer: ChatTokenizer) -> TokenOut:
        """From the engine's report."""
        return cls(
            token=told.text,
            logprob=told.logprob,
            bytes=_bytes(told.token_id, told.text, tokenizer),
            top_logprobs=[
                TopLogprob(token=text, logprob=value, bytes=_bytes(token, text, tokenizer))
                for token, text, value in told.top
            ],
        )


class LogprobsOut(BaseModel):
    """Of every token of the answer."""

    content: list[TokenOut]
    refusal: None = None


class FunctionOut(BaseModel):
    """`arguments` is the text of a JSON object."""

    name: str
    arguments: str


class CallOut(BaseModel):
    """A tool that the model asks for."""

    id: str
    type: Literal["function"]
    function: FunctionOut


class MessageOut(BaseModel):
    """The answer. `content` is null when there are only calls."""

    role: Literal["assistant"]
    content: str | None
    refusal: None = None
    tool_calls: list[CallOut] | None = None


class ChoiceOut(BaseModel):
    """One answer."""

    index: int
    message: MessageOut
    logprobs: LogprobsOut | None
    finish_reason: FinishReason


class Head(BaseModel):
    """`model` is the checkpoint that answered; `system_fingerprint` changes with checkpoint,
    precision, kernel, device and version."""

    id: str
    created: int
    model: str
    system_fingerprint: str


class ChatCompletion(Head):
    """An answer in one piece."""

    object: Literal["chat.completion"]
    choices: list[ChoiceOut]
    usage: TokenUsage


class FunctionDelta(BaseModel):
    """A piece of `arguments`; `name` only in the first."""

    name: str | None = None
    arguments: str | None = None


class CallDelta(BaseModel):
    """A piece of the call `index`; `id` and `type` only in the first."""

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionDelta


class Delta(BaseModel):
    """What to append; `role` only in the first."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: list[CallDelta] | None = None


class ChoiceDelta(BaseModel):
    """A piece of one answer."""

    index: int
    delta: Delta
    logprobs: LogprobsOut | None
    finish_reason: FinishReason | None


class ChatCompletionChunk(Head):
    """One event of a stream."""

    object: Literal["chat.completion.chunk"]
    choices: list[ChoiceDelta]
    usage: TokenUsage | None = None


class TextLogprobs(BaseModel):
    """Lists of the same length, one item a token. With `echo` the first token of the prompt has
    nothing before it and so null; tokens of the prompt have no alternatives."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class TextChoice(BaseModel):
    """One continuation; `finish_reason` is null in every chunk but the last of a choice."""

    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: Literal["stop", "length"] | None


class Completion(Head):
    """Continuations, whole or, in a stream, a piece of one. `usage` is in whole ones, and in the
    last chunk if it was asked for."""

    object: Literal["text_completion"]
    choices: list[TextChoice]
    usage: TokenUsage | None = None


class ModelOut(BaseModel):
    """A checkpoint. It has no date of its own: `created` is when this server was started."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    """What the field `model` may name."""

    object: Literal["list"]
    data: list[ModelOut]


def _bytes(token: int, text: str, tokenizer: ChatTokenizer) -> list[int]:
    # Only a token that is no whole text says less than its bytes.
    whole = "\ufffd" not in text
    return list(text.encode() if whole else tokenizer.token_bytes(token))
