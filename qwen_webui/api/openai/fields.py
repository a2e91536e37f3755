"""The fields that chat and plain completions share, as they are sent, and what they mean."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.config import JsonDict

from qwen_webui.api.openai.reading import OpenAIBody
from qwen_webui.api.openai.tools import StructuredOutputs
from qwen_webui.api.wire import StopText, Strict, number
from qwen_webui.errors import InvalidRequest
from qwen_webui.limits import LOGIT_BIAS, MAX_STOP_STRINGS, check_sampling
from qwen_webui.types import Constraint, Sampling

MOST_CHOICES = 8
BIAS: JsonDict = {"type": "number", "minimum": LOGIT_BIAS.low, "maximum": LOGIT_BIAS.high}
EXTENSION = "Extension of this server."


class StreamOptions(Strict):
    """Only together with `"stream": true`."""

    include_usage: bool | None = Field(
        None, description="Send a last chunk with empty `choices` and the token counts."
    )
    include_obfuscation: bool | None = Field(
        None,
        description="Chunks are never padded, so only false (or null) is taken.",
        json_schema_extra={"enum": [False, None]},
    )


class SharedFields(OpenAIBody):
    """Of both kinds of completion. null means the same as leaving a field out."""

    model: str | None = Field(
        None,
        description="Name or hub id of a checkpoint, as in GET /v1/models. One that is not loaded "
        "is a 404, or with --allow-swap loaded first. Left out: whatever is loaded.",
    )
    n: int | None = Field(
        None, ge=1, le=MOST_CHOICES, description="Answers to the same prompt, computed side by side"
    )
    stream: bool | None = Field(None, description="Server-sent events, `data: [DONE]` last")
    stream_options: StreamOptions | None = None
    seed: int | None = number(
        "seed", "The same seed gives the same answer; answer k of several uses seed + k"
    )
    stop: StopText | Annotated[list[StopText], Field(max_length=MAX_STOP_STRINGS)] | None = Field(
        None, description="Texts that end the answer and are not part of it"
    )
    temperature: float | None = number("temperature", "0 is greedy. Default: the checkpoint's own")
    top_p: float | None = number("top_p", "Default: the checkpoint's own")
    presence_penalty: float | None = number("presence_penalty", "Default 0")
    frequency_penalty: float | None = number("frequency_penalty", "Default 0")
    logit_bias: dict[Annotated[str, Field(pattern=r"^[0-9]{1,9}$")], float] | None = Field(
        None,
        description="Token id of this checkpoint (as text) to what is added to its logit",
        json_schema_extra={"additionalProperties": BIAS},
    )
    user: str | None = Field(
        None, description="Written to the log beside the request's id; has no other effect"
    )
    top_k: int | None = number("top_k", f"{EXTENSION} 0 is off. Default: the checkpoint's own")
    min_p: float | None = number("min_p", f"{EXTENSION} Default: the checkpoint's own")
    repetition_penalty: float | None = number(
        "repetition_penalty",
        f"{EXTENSION} 1 is off. Default: the checkpoint's own; 1 with tools or an answer format",
    )
    structured_outputs: StructuredOutputs | None = Field(
        None, description=f"{EXTENSION} The form of the answer, also of a plain completion"
    )

    def check(self) -> None:
        """Raise InvalidRequest for fields that contradict each other."""
        if self.stream_options is None:
            return
        if not self.stream:
            raise InvalidRequest(
                "stream_options is only taken together with stream: true.", param="stream_options"
            )
        if self.stream_options.include_obfuscation:
            raise InvalidRequest(
                "stream_options.include_obfuscation is not supported: chunks are never padded. "
                "Leave it out.",
                code="unsupported_parameter",
                param="stream_options.include_obfuscation",
            )

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the token counts."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampled(
        self,
        *,
        logprobs: int | None,
        most: int | None,
        constraint: Constraint | None = None,
    ) -> Sampling:
        """What the fields mean. Raises InvalidRequest for a value out of its range, and for two
        forms of the answer."""
        if self.structured_outputs is not None:
            if constraint is not None:
                raise InvalidRequest(
                    "response_format and structured_outputs both give the answer's form. Send one.",
                    param="structured_outputs",
                )
            constraint = self.structured_outputs.constraint()
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        bias = tuple((int(token), value) for token, value in (self.logit_bias or {}).items())
        sampling = Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            logit_bias=bias,
            logprobs=logprobs,
            seed=self.seed,
            stop=stop,
            max_new_tokens=most,
            constraint=constraint,
        )
        check_sampling(sampling)
        return sampling
