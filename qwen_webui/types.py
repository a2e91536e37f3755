"""The values that cross module and process boundaries.

Frozen dataclasses over the standard library only, so that every process can import them. No
behaviour beyond building one value from another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
Precision = Literal["fp16", "gptq-int8", "gptq-int4", "awq-int4"]
Device = Literal["cuda", "cpu"]
Dtype = Literal["float16", "bfloat16", "float32"]
FinishReason = Literal["stop", "length", "tool_calls"]

PRECISIONS: tuple[Precision, ...] = ("fp16", "gptq-int8", "gptq-int4", "awq-int4")


@dataclass(frozen=True)
class ToolCall:
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Message:
    """One turn. Control tokens in `content` are plain text."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. `None` means the checkpoint's own default.

    temperature 0 is greedy; top_k 0 is off. The penalties are those of transformers (repetition,
    1.0 is off) and of OpenAI (presence, frequency, 0.0 is off). `logprobs` is how many
    alternatives to report for each token. No engine reads `constraint` (a grammar) yet.
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
    constraint: str | None = None

    def over(self, defaults: Sampling) -> Sampling:
        """This value, with every field that is unset taken from `defaults`."""
        unset = {
            f.name: getattr(defaults, f.name)
            for f in dataclasses.fields(self)
            if getattr(self, f.name) in (None, ())
        }
        return dataclasses.replace(self, **unset)


@dataclass(frozen=True)
class ChatTurn:
    """What a front end asks. `system` (exact text) wins over `persona` (an id); with neither, the
    template's default line stands. Without `fit_history` an over-long history is an error."""

    text: str
    history: tuple[Message, ...] = ()
    persona: str | None = None
    system: str | None = None
    language: Literal["en", "zh"] = "en"
    sampling: Sampling = Sampling()
    tools: tuple[Mapping[str, Any], ...] = ()
    fit_history: bool = True
    request_id: str = ""


@dataclass(frozen=True)
class GenerationRequest:
    """What an engine is asked. `sampling` is complete."""

    id: str
    messages: tuple[Message, ...]
    sampling: Sampling
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class ModelShape:
    """What of config.json decides memory and speed. Sizes in elements, context in tokens."""

    layers: int
    heads: int
    kv_heads: int
    head_size: int
    hidden: int
    intermediate: int
    vocabulary: int
    tied_embeddings: bool
    context_length: int

    @property
    def kv_elements_per_token(self) -> int:
        """Elements of KV cache one token takes: keys and values of every layer."""
        return 2 * self.layers * self.kv_heads * self.head_size


@dataclass(frozen=True)
class CheckpointSpec:
    """One row of the catalogue, or a folder of the user's described the same way.

    `weights_bytes` is what the safetensors hold; `folder` is set when the files are on this disk,
    `hub_id` when they can be downloaded.
    """

    name: str
    title: str
    family: Literal["demo", "qwen2.5", "local", "external"]
    size: str
    precision: Precision
    licence: str
    weights_bytes: int
    shape: ModelShape
    hub_id: str | None = None
    folder: str | None = None


@dataclass(frozen=True)
class MemoryForecast:
    """Bytes a checkpoint will take. Formula and source in memory.py."""

    weights: int
    kv_cache: int
    activations: int
    overhead: int
    context: int
    free: int
    total: int
    device: Device

    @property
    def needed(self) -> int:
        return self.weights + self.kv_cache + self.activations + self.overhead

    @property
    def fits(self) -> bool:
        return self.needed <= self.free


@dataclass(frozen=True)
class MemoryUse:
    """Measured bytes: of the worker process (resident, or allocated on the card) and the device."""

    device: Device
    device_name: str
    used_by_engine: int
    free: int
    total: int


@dataclass(frozen=True)
class LoadPlan:
    """What a worker is told to load. `max_context` in tokens; `yarn_factor` 1.0 is off."""

    spec: CheckpointSpec
    folder: str
    device: Device
    dtype: Dtype | None
    max_context: int
    yarn_factor: float = 1.0


@dataclass(frozen=True)
class EngineInfo:
    """What a loaded engine says of itself. `kernel` names the code that multiplies the weights;
    `defaults` are the checkpoint's own sampling values, complete."""

    checkpoint: CheckpointSpec
    device: Device
    device_name: str
    dtype: Dtype
    kernel: str
    max_context: int
    defaults: Sampling
    stop_ids: tuple[int, ...]
    weights_bytes: int
    load_seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Usage:
    """Token counts and wall-clock seconds of one answer, as measured in the worker."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    seconds_to_first_token: float
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Decode speed: tokens after the first over the time after the first."""
        decode = self.seconds - self.seconds_to_first_token
        return (self.completion_tokens - 1) / decode if decode > 0 else 0.0


@dataclass(frozen=True)
class TokenLogprob:
    """Natural-log probability of one token, with the alternatives that were asked for."""

    token_id: int
    text: str
    logprob: float
    top: tuple[tuple[int, str, float], ...] = ()


@dataclass(frozen=True)
class Queued:
    """The request waits; `place` 1 is next."""

    place: int


@dataclass(frozen=True)
class Progress:
    """`done` of `total` in `unit` (bytes, tokens) of the work that `stage` names."""

    stage: str
    done: int
    total: int
    unit: str


@dataclass(frozen=True)
class LeftOut:
    """Whole turns of history, oldest first, that did not fit and were not sent."""

    turns: int
    tokens: int


@dataclass(frozen=True)
class TextDelta:
    """Text to append; empty while a character or a stop string is incomplete."""

    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Finished:
    """Exactly once, last. A cancelled stream has none."""

    reason: FinishReason
    usage: Usage


GenerationEvent = Queued | Progress | LeftOut | TextDelta | Finished


@dataclass(frozen=True)
class SwapReport:
    """What a load or swap did. Bytes and seconds; `freed` is what came back from the old one."""

    name: str
    previous: str | None
    forecast: MemoryForecast
    freed: int
    loaded: int
    seconds: float


@dataclass(frozen=True)
class ModelStatus:
    """The manager's state at one moment, for the page, /readyz and GET /api/models."""

    state: Literal["empty", "downloading", "loading", "ready", "swapping", "failed"]
    name: str | None = None
    target: str | None = None
    info: EngineInfo | None = None
    progress: Progress | None = None
    error: str | None = None
    error_code: str | None = None
    running: int = 0
    waiting: int = 0
    last_swap: SwapReport | None = None
    notes: tuple[str, ...] = ()
