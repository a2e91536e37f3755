"""What GET /api/models and GET /api/personas answer: our values without what is nobody's business.

Every class reads its fields from the value of types.py or personas.py with the same names.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from qwen_webui.types import CheckpointSpec, MemoryForecast


class Out(BaseModel):
    """Made with `model_validate(value)`; fields and properties of `value` are copied."""

    model_config = ConfigDict(from_attributes=True)


class ForecastOut(Out):
    """Bytes that a checkpoint would take, were the loaded one unloaded; context in tokens."""

    needed: int
    weights: int
    kv_cache: int
    activations: int
    overhead: int
    context: int
    free: int
    total: int
    device: str
    fits: bool


class CheckpointOut(Out):
    """One row of the catalogue. Where its files lie on this machine is not told."""

    name: str
    title: str
    family: str
    size: str
    precision: str
    licence: str
    weights_bytes: int
    hub_id: str | None
    context_length: int
    on_disk: bool
    forecast: ForecastOut

    @classmethod
    def of(cls, spec: CheckpointSpec, forecast: MemoryForecast) -> CheckpointOut:
        """A row with what it would take here. `on_disk` false: a load downloads it first."""
        return cls(
            name=spec.name,
            title=spec.title,
            family=spec.family,
            size=spec.size,
            precision=spec.precision,
            licence=spec.licence,
            weights_bytes=spec.weights_bytes,
            hub_id=spec.hub_id,
            context_length=spec.shape.context_length,
            on_disk=spec.folder is not None,
            forecast=ForecastOut.model_validate(forecast),
        )


class EngineOut(Out):
    """What serves now."""

    device: str
    device_name: str
    dtype: str
    kernel: str
    max_context: int
    weights_bytes: int
    load_seconds: float
    notes: tuple[str, ...]


class ProgressOut(Out):
    """How far a download or a load is."""

    stage: str
    done: int
    total: int
    unit: str


class SwapOut(Out):
    """What a load did, in bytes and seconds; `freed` came back from the checkpoint before."""

    name: str
    previous: str | None
    forecast: ForecastOut
    freed: int
    loaded: int
    seconds: float


class StatusOut(Out):
    """The manager's state. `name` serves, `target` is being loaded. While `held_for` names a job
    that has the model, `name` serves again when it is done."""

    state: str
    name: str | None
    target: str | None
    info: EngineOut | None
    progress: ProgressOut | None
    error: str | None
    error_code: str | None
    running: int
    waiting: int
    last_swap: SwapOut | None
    notes: tuple[str, ...]
    held_for: str | None
    held_progress: ProgressOut | None


class MemoryOut(Out):
    """Measured bytes."""

    device: str
    device_name: str
    used_by_engine: int
    free: int
    total: int


class ModelsOut(StatusOut):
    """The state, the memory and every checkpoint that can be loaded."""

    memory: MemoryOut
    checkpoints: tuple[CheckpointOut, ...]


class LocalText(Out):
    """Both languages of the page."""

    en: str
    zh: str


class LocalTexts(Out):
    """Both languages of the page."""

    en: tuple[str, ...]
    zh: tuple[str, ...]


class PersonaOut(Out):
    """One preset; `sampling` holds only what it sets."""

    id: str
    name: LocalText
    description: LocalText
    system: LocalText
    examples: LocalTexts
    sampling: dict[str, Any]


class PersonasOut(Out):
    """In the order of the page."""

    personas: tuple[PersonaOut, ...]
