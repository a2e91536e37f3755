"""A quantised checkpoint as transformers' model with its weights in 16 or 32 bits.

For what our own path does not compute here, where nothing is installed that multiplies packed
weights: it takes the memory of the unquantised model, and answers. Reads the published layouts with
decode/source.py, any order and size of groups.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PretrainedConfig

from qwen_webui.engines.decode.layouts import Linear
from qwen_webui.engines.decode.source import Source
from qwen_webui.engines.loading import Model, generation_config
from qwen_webui.errors import CheckpointError
from qwen_webui.extras import INSTALL
from qwen_webui.memory import GIB, machine_memory
from qwen_webui.types import Dtype, LoadPlan


def read_dense(plan: LoadPlan, config: PretrainedConfig, dtype: Dtype, reason: str) -> Model:
    """The model, on the device, ready for inference; `reason` is why nothing better computes it.

    Raises NotForThisPath for layouts that are not read, CheckpointError where memory is short.
    """
    plain = copy.deepcopy(config)
    del plain.quantization_config
    source = Source(Path(plan.folder), config, plan.device, any_order=True)
    kind = getattr(torch, dtype)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(plain, dtype=kind, attn_implementation="sdpa")
    needed = sum(tensor.nbytes for tensor in model.parameters())
    _require_room(plan, needed, reason)
    model.to_empty(device=plan.device)
    # What is computed and not stored went with the rest.
    model.model.rotary_emb = type(model.model.rotary_emb)(plain).to(plan.device)
    if plain.tie_word_embeddings:
        model.tie_weights()
    with torch.inference_mode():
        for parameter, tensor in _filled(model, source):
            parameter.copy_(tensor)
    model.generation_config = generation_config(plan, config)
    loaded: Model = model.eval()
    return loaded


def _require_room(plan: LoadPlan, needed: int, reason: str) -> None:
    free = torch.cuda.mem_get_info()[0] if plan.device == "cuda" else machine_memory("cpu").free
    if needed > free:
        raise CheckpointError(
            f"{plan.spec.title} cannot be computed with what is installed: {reason}. With its "
            f"weights in full it would take {needed / GIB:.1f} GiB, and {free / GIB:.1f} are free. "
            f"gptqmodel computes packed weights: {INSTALL}. Or load another."
        )


def _filled(model: Any, source: Source) -> Iterator[tuple[nn.Parameter, Tensor]]:
    """Every parameter with its values, a layer at a time."""
    yield model.model.embed_tokens.weight, source.table()
    yield model.model.norm.weight, source.gain()
    if (head := source.head()) is not None:
        yield model.lm_head.weight, head
    for place, layer in enumerate(model.model.layers):
        found = source.layer(place)
        for name in "qkvo":
            own = getattr(layer.self_attn, f"{name}_proj")
            yield own.weight, _dense(getattr(found, name))
            if name != "o":
                yield own.bias, getattr(found, f"{name}_bias")
        for name in ("gate", "up", "down"):
            yield getattr(layer.mlp, f"{name}_proj").weight, _dense(getattr(found, name))
        yield layer.input_layernorm.weight, found.input_gain
        yield layer.post_attention_layernorm.weight, found.post_gain


def _dense(linear: Linear) -> Tensor:
    return linear if isinstance(linear, Tensor) else linear.dense(torch.float32)
