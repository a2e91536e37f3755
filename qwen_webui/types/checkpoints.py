"""Checkpoints, the memory they take, and the engine that holds one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qwen_webui.types.sampling import Sampling

Precision = Literal["fp16", "gptq-int8", "gptq-int4", "awq-int4"]
Device = Literal["cuda", "cpu"]
Dtype = Literal["float16", "bfloat16", "float32"]
# Who computes: transformers' generate(), or engines/decode/.
EnginePath = Literal["auto", "reference", "ours"]

# What a model is wanted for.
Use = Literal["chat", "code", "mathematics", "json", "documents"]

USES: tuple[Use, ...] = ("chat", "code", "mathematics", "json", "documents")
# Answers that an engine computes at once unless it says more.
FEW_AT_ONCE = 2
PRECISIONS: tuple[Precision, ...] = ("fp16", "gptq-int8", "gptq-int4", "awq-int4")


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

    @property
    def parameters(self) -> int:
        """Of products and tables; norms and biases are too few to count."""
        attention = (2 * self.heads + 2 * self.kv_heads) * self.head_size * self.hidden
        layer = attention + 3 * self.hidden * self.intermediate
        tables = 1 if self.tied_embeddings else 2
        return self.layers * layer + tables * self.vocabulary * self.hidden


@dataclass(frozen=True)
class CheckpointSpec:
    """One row of the catalogue, or a folder of the user's described the same way.

    `weights_bytes` is what the safetensors hold; `folder` is set when the files are on this disk,
    `hub_id` when they can be downloaded. `group_size` counts where weights are packed: inputs that
    share a scale, as Qwen published them unless the files say otherwise; -1 is all of a row.
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
    group_size: int = 128


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
    """What a worker is told to load. `max_context` in tokens; `yarn_factor` 1.0 is off;
    `host_cache` bytes may go to checkpoints loaded before, kept for a quick way back."""

    spec: CheckpointSpec
    folder: str
    device: Device
    dtype: Dtype | None
    max_context: int
    yarn_factor: float = 1.0
    engine_path: EnginePath = "auto"
    host_cache: int = 0


@dataclass(frozen=True)
class EngineInfo:
    """What a loaded engine says of itself. `kernel` names the code that multiplies the weights;
    `defaults` are the checkpoint's own sampling values, complete. `cache_bytes` is the KV cache
    that was set aside at the load; 0 where each answer takes its own, or another server has it.
    `at_once` answers are computed together unless the user says otherwise."""

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
    cache_bytes: int = 0
    at_once: int = FEW_AT_ONCE
