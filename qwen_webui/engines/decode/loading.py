"""From a plan to a DecodedModel that has been tried out, on whichever device.

The devices' own loaders are imported when they are wanted: a CUDA one needs Triton, which a
machine without a card need not have.
"""

from __future__ import annotations

import importlib

from transformers import PretrainedConfig

from qwen_webui.engines.decode.computer import Computer
from qwen_webui.engines.decode.model import DecodedModel
from qwen_webui.types import Device, Dtype, LoadPlan

# Loader modules, each with `load_computer(plan, config, dtype)`.
LOADERS: dict[Device, str] = {
    "cpu": "qwen_webui.engines.decode.cpu",
    "cuda": "qwen_webui.engines.decode.cuda.loading",
}


def load_decoded(plan: LoadPlan, config: PretrainedConfig, dtype: Dtype) -> DecodedModel:
    """Raises NotForThisPath, and what a load raises; nothing stays loaded then."""
    loader = importlib.import_module(LOADERS[plan.device])
    computer: Computer = loader.load_computer(plan, config, dtype)
    model = DecodedModel(plan, config, computer, dtype)
    del computer
    try:
        model.warm_up()
    except BaseException:
        model.unload()
        raise
    return model
