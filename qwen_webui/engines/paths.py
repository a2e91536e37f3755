"""Which path computes a checkpoint: ours (decode/) or the reference (transformers.py). Its load.

The narrow seam of the worker: `load_model` and what AnyModel offers. Computes nothing itself.
"""

from __future__ import annotations

import dataclasses
import importlib
import logging
import time
from typing import Protocol

from transformers import PretrainedConfig

from qwen_webui.engines import device as devices
from qwen_webui.engines.cancelling import Ticket
from qwen_webui.engines.decode.host_cache import HostCache
from qwen_webui.engines.decode.loading import load_decoded
from qwen_webui.engines.decode.source import NotForThisPath
from qwen_webui.engines.failures import of_load
from qwen_webui.engines.kernels import quantization, refuse_unreadable
from qwen_webui.engines.loading import choose_dtype, has_generation_config, read_config
from qwen_webui.engines.progress import Emit, LoadProgress
from qwen_webui.errors import CheckpointError
from qwen_webui.extras import INSTALL, has_quantizers
from qwen_webui.memory import GIB
from qwen_webui.types import (
    DistributionRequest,
    Distributions,
    EngineInfo,
    GenerationRequest,
    LoadPlan,
)

# generate() and the model classes of transformers take seconds to import: by name, when wanted.
REFERENCE = "qwen_webui.engines.transformers"

log = logging.getLogger(__name__)


class AnyModel(Protocol):
    """A checkpoint on its device. `generate` and `score` may run in several threads at once."""

    info: EngineInfo

    def generate(self, request: GenerationRequest, ticket: Ticket, emit: Emit) -> None:
        """Emit Queued* Progress* TextDelta* Finished."""
        ...

    def score(self, token_ids: tuple[int, ...], ticket: Ticket) -> list[float]:
        """Natural-log probability of each token after the first: n - 1 values."""
        ...

    def distributions(self, asked: DistributionRequest, ticket: Ticket) -> Distributions:
        """What is asked for of the distribution over the next token, at each token."""
        ...

    def unload(self) -> None:
        """Free everything. The model cannot be used afterwards."""
        ...


def load_model(plan: LoadPlan, emit: Emit, cache: HostCache | None = None) -> AnyModel:
    """Load `plan`, from `cache` if it is kept there, and try it out. Raises CheckpointError,
    OutOfMemory, DeviceUnusable or EngineCrashed; nothing stays loaded then."""
    started = time.monotonic()
    progress = LoadProgress(plan.spec.weights_bytes, emit)
    progress.taken(0)
    try:
        devices.require(plan.device)
        with devices.Watch(plan.device, progress.taken):
            loaded = _load(plan, cache or HostCache())
    except Exception as error:
        log.info("the load of %s failed", plan.spec.name, exc_info=error)
        failure = of_load(error, plan.spec.name)
    else:
        devices.give_back()
        seconds = time.monotonic() - started
        loaded.info = dataclasses.replace(loaded.info, load_seconds=seconds)
        progress.taken(plan.spec.weights_bytes)
        return loaded
    # Outside `except`: inside it the traceback would still hold the half-loaded model.
    devices.give_back()
    raise failure


def _load(plan: LoadPlan, cache: HostCache) -> AnyModel:
    config = read_config(plan)
    if plan.engine_path == "reference":
        return _load_reference(plan, config)
    try:
        model: AnyModel = load_decoded(plan, config, choose_dtype(plan, config), cache)
    except NotForThisPath as error:
        reason = str(error)
    else:
        return _with_notes(plan, model)
    if plan.engine_path == "ours":
        raise CheckpointError(
            f"Our own path does not compute {plan.spec.title} here: {reason}. Start without "
            "--engine-path to let the reference path answer."
        )
    log.warning("the reference path computes %s: %s", plan.spec.name, reason)
    devices.give_back()
    return _load_reference(plan, config, reason)


def _load_reference(plan: LoadPlan, config: PretrainedConfig, reason: str = "") -> AnyModel:
    """`reason` is why ours does not compute it."""
    if reason and quantization(config) is not None and not has_quantizers():
        return _load_dense(plan, config, reason)
    refuse_unreadable(plan.spec.title, quantization(config), plan.device, reason)
    model: AnyModel = importlib.import_module(REFERENCE).load_reference(plan)
    if not reason:
        return _with_notes(plan, model)
    return _with_notes(plan, model, f"The quick path does not take this checkpoint here: {reason}.")


def _load_dense(plan: LoadPlan, config: PretrainedConfig, reason: str) -> AnyModel:
    """What nothing that is installed multiplies packed, in full."""
    try:
        model: AnyModel = importlib.import_module(REFERENCE).load_dense(plan, reason)
    except NotForThisPath as error:
        log.info("%s is not read in full either: %s", plan.spec.name, error)
        refuse_unreadable(plan.spec.title, quantization(config), plan.device, reason)
        raise
    full = model.info.weights_bytes / GIB
    return _with_notes(
        plan, model,
        f"The quick path does not take this checkpoint here: {reason}. Its weights are held in "
        f"full, {full:.1f} GiB; gptqmodel would keep them packed: {INSTALL}.",
    )  # fmt: skip


def _with_notes(plan: LoadPlan, model: AnyModel, *more: str) -> AnyModel:
    """With what people should know of a choice that was made for them."""
    info, notes = model.info, []
    if plan.dtype not in (None, info.dtype):
        notes.append(f"Quantised weights are computed in {info.dtype} on this device.")
    if info.kernel in ("TorchInt8Linear", "torch int8pack"):
        notes.append("On the CPU, 8-bit weights are rescaled by rows: faster, a little less exact.")
    if plan.yarn_factor > 1.0:
        notes.append(
            f"YaRN factor {plan.yarn_factor:g} is on: short texts may be answered a little worse."
        )
    if not has_generation_config(plan.folder):
        notes.append("This checkpoint names no sampling of its own: the default is greedy.")
    model.info = dataclasses.replace(info, notes=(*notes, *more))
    return model
