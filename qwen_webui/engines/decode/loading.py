"""From a plan to a DecodedModel that has been tried out, on whichever device.

The devices' own loaders are imported when they are wanted: a CUDA one needs Triton, which a
machine without a card need not have.
"""

from __future__ import annotations

import importlib
import logging
from typing import Any

from transformers import PretrainedConfig

from qwen_webui.engines.decode.computer import Computer
from qwen_webui.engines.decode.host_cache import Copyable, HostCache, Key, key_of
from qwen_webui.engines.decode.model import DecodedModel
from qwen_webui.engines.failures import is_out_of_memory
from qwen_webui.types import Device, Dtype, LoadPlan

log = logging.getLogger(__name__)

# Loader modules, each with `load_computer(plan, config, dtype)`; one whose computers are Copyable
# has `restore(copy, config, max_context)` too.
LOADERS: dict[Device, str] = {
    "cpu": "qwen_webui.engines.decode.cpu",
    "cuda": "qwen_webui.engines.decode.cuda.loading",
}


def load_decoded(
    plan: LoadPlan, config: PretrainedConfig, dtype: Dtype, cache: HostCache
) -> DecodedModel:
    """From `cache` if it is there; where the weights leave the host's memory they are kept in it.
    Raises NotForThisPath, and what a load raises; nothing stays loaded then."""
    loader = importlib.import_module(LOADERS[plan.device])
    cache.limit(plan.host_cache)
    key = key_of(plan, dtype)
    computer = _restored(plan, config, loader, cache, key)
    if computer is None:
        computer = loader.load_computer(plan, config, dtype)
    try:
        model = DecodedModel(plan, config, computer, dtype)
    except BaseException:
        computer.close()
        raise
    try:
        model.warm_up()
        if isinstance(computer, Copyable):
            cache.keep(key, computer)
    except BaseException:
        del computer
        model.unload()
        raise
    return model


def _restored(
    plan: LoadPlan, config: PretrainedConfig, loader: Any, cache: HostCache, key: Key
) -> Computer | None:
    """From `cache`; None where it is not there, or nothing can be made of it: the files are."""
    with cache.lent(key) as copy:
        if copy is None:
            return None
        log.info("%s comes from the host's memory", plan.spec.name)
        try:
            computer: Computer = loader.restore(copy, config, plan.max_context)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            log.warning("the copy of %s is of no use", plan.spec.name, exc_info=error)
        else:
            return computer
    cache.forget(key)
    return None
