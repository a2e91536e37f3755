"""What is chosen before a load, and how foreign errors are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from qwen_webui.engines.cancelling import Cancelled
from qwen_webui.engines.failures import of_load, translated
from qwen_webui.engines.kernels import candidates
from qwen_webui.engines.loading import choose_dtype, read_config, threads_for
from qwen_webui.engines.paths import load_model
from qwen_webui.errors import (
    CheckpointError,
    DeviceUnusable,
    EngineCrashed,
    GenerationFailed,
    InvalidRequest,
    ModelSwitching,
    OutOfMemory,
    WebUIError,
)
from qwen_webui.types import Device, LoadPlan, ModelShape
from tests.engines.checkpoints import old_awq, old_gptq, plan

LARGE = ModelShape(28, 28, 4, 128, 3584, 18944, 152064, False, 32768)


def large(what: LoadPlan) -> LoadPlan:
    return replace(what, spec=replace(what.spec, shape=LARGE))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine's torch can use a card")
def test_a_card_that_torch_cannot_use_is_never_replaced_by_the_cpu(tiny: Path) -> None:
    with pytest.raises(DeviceUnusable, match="--device cpu"):
        load_model(plan(tiny, device="cuda", dtype=None), lambda _: None)


@pytest.mark.parametrize(
    ("quantization", "device", "first", "last"),
    [
        (None, "cpu", None, None),
        (None, "cuda", None, None),
        (old_gptq(8), "cpu", "gptq_torch_int8", "gptq_torch"),
        (old_gptq(4), "cpu", "gptq_torch_aten", "gptq_torch"),
        (old_awq(), "cpu", "auto", "torch_awq"),
        (old_gptq(8), "cuda", "gptq_triton", "gptq_torch"),
        (old_gptq(4), "cuda", "gptq_triton", "gptq_torch"),
        (old_awq(), "cuda", "gemm_triton", "torch_awq"),
    ],
)
def test_kernels_need_no_compiler(
    quantization: dict[str, object] | None, device: Device, first: str | None, last: str | None
) -> None:
    found = candidates(quantization, device)
    assert (found[0], found[-1]) == (first, last)


def test_dtype_follows_size_device_and_wish(tiny_folders: dict[str, Path]) -> None:
    tiny = plan(tiny_folders["fp16"], dtype=None)
    config = read_config(tiny)
    assert choose_dtype(tiny, config) == "float32"
    assert choose_dtype(large(tiny), config) == "bfloat16"
    assert choose_dtype(replace(large(tiny), dtype="float16"), config) == "float16"
    quantized = plan(tiny_folders["awq-int4"], "awq-int4", dtype="bfloat16", device="cuda")
    assert choose_dtype(quantized, read_config(quantized)) == "float16"


def test_small_models_take_one_thread(tiny: Path) -> None:
    assert threads_for(plan(tiny)) == 1
    assert threads_for(large(plan(tiny))) >= 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidRequest("x"), InvalidRequest),
        (Cancelled(), ModelSwitching),
        (torch.OutOfMemoryError("CUDA out of memory"), OutOfMemory),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), OutOfMemory),
        (MemoryError(), OutOfMemory),
        (torch.AcceleratorError("CUDA error: out of memory\nCompile with..."), OutOfMemory),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), OutOfMemory),
        (torch.AcceleratorError("CUDA error: an illegal memory access"), EngineCrashed),
        (ValueError("/home/someone/secret"), GenerationFailed),
    ],
)
def test_errors_of_a_generation(error: Exception, kind: type[WebUIError]) -> None:
    found = translated(error)
    assert type(found) is kind
    assert "secret" not in found.message


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (SafetensorError("incomplete"), CheckpointError, "damaged or incomplete"),
        (GenerationFailed("No numbers."), CheckpointError, "No numbers."),
        (KeyError("rope"), CheckpointError, "KeyError"),
        (OSError("No file at '/home/someone/x.json'."), CheckpointError, "No file at '...'"),
        (torch.OutOfMemoryError("x"), OutOfMemory, "ran out of memory"),
        (DeviceUnusable("No card."), DeviceUnusable, "No card."),
    ],
)
def test_errors_of_a_load(error: Exception, kind: type[WebUIError], says: str) -> None:
    found = of_load(error, "some-model")
    assert type(found) is kind and says in found.message
