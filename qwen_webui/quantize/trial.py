"""Reload what was written, as any program would, and compare it with the source.

Plain transformers on whatever device is there, with the slow kernels that need no compiler; it does
not choose fast ones.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AwqConfig, GPTQConfig
from transformers.utils.quantization_config import AwqBackend

from qwen_webui.errors import CheckpointError

SPOKEN = 8


@dataclass(frozen=True)
class Trial:
    """On how many of `tokens` positions both find the same next token likeliest."""

    agreeing: int
    tokens: int


def try_out(source: Path, written: Path, sample: Sequence[int]) -> Trial:
    """Let the written checkpoint speak; CheckpointError if it cannot or computes no numbers."""
    # The torch kernel for GPTQ compiles itself unless it is told not to.
    with torch.compiler.set_stance("force_eager"):
        wanted = _likeliest(source, sample, speak=False)
        found = _likeliest(written, sample, speak=True)
    return Trial(int((wanted == found).sum()), len(sample))


@torch.inference_mode()
def _likeliest(folder: Path, sample: Sequence[int], speak: bool) -> torch.Tensor:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float16,
        device_map=device,
        local_files_only=True,
        quantization_config=_portable(folder),
    )
    ids = torch.tensor([list(sample)], device=device)
    logits = model(ids).logits[0].float()
    if not bool(torch.isfinite(logits).all()):
        raise CheckpointError(
            "The quantised checkpoint computes values that are no numbers; nothing was written. "
            "Try another precision or other calibration text."
        )
    if speak:
        made = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=SPOKEN, do_sample=False
        )
        assert made.shape[1] > ids.shape[1], "generate returned no token"
    best: torch.Tensor = logits.argmax(-1).cpu()
    del model
    gc.collect()
    return best


def _portable(folder: Path) -> GPTQConfig | AwqConfig | None:
    """The kernel written in plain torch; the other keys come from the folder's own config."""
    said = getattr(AutoConfig.from_pretrained(folder), "quantization_config", None)
    if said is None:
        return None
    if said["quant_method"] == "awq":
        return AwqConfig(bits=4, backend=AwqBackend.TORCH_AWQ)
    return GPTQConfig(bits=said["bits"], backend="torch")
