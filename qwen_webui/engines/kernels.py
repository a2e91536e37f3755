"""Which code multiplies quantised weights: chosen before a load, named after it.

Only kernels that need no compiler of the system and fetch nothing at run time. Figures in
docs/log.md; a checkpoint without quantisation has no choice to make.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from transformers import PretrainedConfig

from qwen_webui.errors import CheckpointError
from qwen_webui.extras import INSTALL, has_quantizers
from qwen_webui.types import Device

# In order of preference; a later one is tried when an earlier one fails to load or to compute.
GPTQ_ON_CUDA = ("gptq_triton", "gptq_torch")
AWQ_ON_CUDA = ("gemm_triton", "torch_awq")
# The automatic choice for 8 bits on a CPU is fifteen times slower than this one.
GPTQ8_ON_CPU = ("gptq_torch_int8", "gptq_torch")
GPTQ4_ON_CPU = ("gptq_torch_aten", "gptq_torch")
AWQ_ON_CPU = ("auto", "torch_awq")


def quantization(config: PretrainedConfig) -> Mapping[str, Any] | None:
    """The checkpoint's own quantization_config, if it has one."""
    found = getattr(config, "quantization_config", None)
    if found is None or isinstance(found, Mapping):
        return found
    return dict(found.to_dict())


def candidates(
    quantized: Mapping[str, Any] | None, device: Device
) -> tuple[str, ...] | tuple[None]:
    """Names of kernels in gptqmodel's words, best first; None alone for a checkpoint that is not
    quantised. Raises CheckpointError."""
    if quantized is None:
        return (None,)
    method, bits = quantized.get("quant_method"), quantized.get("bits")
    if method == "gptq" and bits in (4, 8):
        if device == "cuda":
            return GPTQ_ON_CUDA
        return GPTQ8_ON_CPU if bits == 8 else GPTQ4_ON_CPU
    if method == "awq" and bits in (4, None):
        return AWQ_ON_CUDA if device == "cuda" else AWQ_ON_CPU
    raise CheckpointError(
        f"This checkpoint is quantised with {method or 'an unnamed method'} in {bits} bits. "
        "GPTQ in 4 or 8 bits and AWQ in 4 bits can be loaded."
    )


def refuse_unreadable(
    title: str, quantized: Mapping[str, Any] | None, device: Device, reason: str
) -> None:
    """Raise CheckpointError where the reference path lacks what reads `title`; `reason` is why
    ours does not take it, if it does not."""
    candidates(quantized, device)
    if quantized is None or has_quantizers():
        return
    if reason:
        raise CheckpointError(
            f"{title} cannot be computed with what is installed: {reason}. gptqmodel reads such "
            f"checkpoints: {INSTALL}. Or load another."
        )
    raise CheckpointError(
        f"{title} is quantised, and with --engine-path reference gptqmodel reads it, which is not "
        f"installed: {INSTALL}. Or start without --engine-path."
    )


def kernel_of(layer: nn.Module) -> str:
    """The class that computes a decoder layer's largest product."""
    product = layer.get_submodule("mlp.gate_proj")
    return (
        f"torch {type(product).__name__}" if type(product) is nn.Linear else type(product).__name__
    )
