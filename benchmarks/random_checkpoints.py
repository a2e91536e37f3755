"""Checkpoints of Qwen2.5's shapes with random weights, written as their authors' tools wrote them:
16 bits, AutoGPTQ in 8 and 4 bits, AutoAWQ. They compute like real ones, and say nothing. Their
tokenizer is the embedded checkpoint's, so that text can go in and out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from qwen_webui.types import ModelShape

GROUP = 128
KINDS = ("fp16", "gptq-int8", "gptq-int4", "awq-int4")
# Layers, heads, KV heads, head size, hidden, inner, vocabulary, tied, context.
SHAPES = {
    "7B": ModelShape(28, 28, 4, 128, 3584, 18944, 152064, False, 32768),
    "0.5B": ModelShape(24, 14, 2, 64, 896, 4864, 151936, True, 32768),
}
TOKENIZER = Path(__file__).parent.parent / "qwen_webui" / "demo" / "demo-fp16"


def random_linear(kind: str, rows: int, inputs: int, device: str) -> dict[str, Tensor]:
    """One product as published; random words are random values."""

    def words(*size: int) -> Tensor:
        return torch.randint(-(2**31), 2**31, size, dtype=torch.int32, device=device)

    if kind == "fp16":
        return {"weight": torch.randn(rows, inputs, device=device, dtype=torch.float16) * 0.02}
    groups = inputs // GROUP
    size = {"gptq-int8": 0.00027, "gptq-int4": 0.0043, "awq-int4": 0.003}[kind]
    scales = ((torch.rand(groups, rows, device=device) + 0.5) * size).half()
    if kind == "awq-int4":
        qweight, qzeros = words(inputs, rows // 8), words(groups, rows // 8)
        return {"qweight": qweight, "qzeros": qzeros, "scales": scales}
    bits = int(kind[-1])
    # The middle of the range, less one, in every place of a word.
    middle = 0x77777777 if bits == 4 else 0x7F7F7F7F
    # Odd values only: their mean is the middle. A mean beside it adds up over the layers, until
    # float16 is too small.
    odd = 0x11111111 if bits == 4 else 0x01010101
    return {
        "qweight": words(inputs * bits // 32, rows) | odd,
        "qzeros": torch.full((groups, rows * bits // 32), middle, dtype=torch.int32),
        "scales": scales,
        "g_idx": torch.arange(inputs, dtype=torch.int32) // GROUP,
    }


def write_checkpoint(folder: Path, kind: str, shape: ModelShape, device: str) -> None:
    """config.json and a safetensors file for each layer."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    placed: dict[str, str] = {}

    def save(file: str, tensors: dict[str, Tensor]) -> None:
        save_file({n: t.contiguous().cpu() for n, t in tensors.items()}, folder / file)
        placed.update(dict.fromkeys(tensors, file))

    def half(*size: int) -> Tensor:
        return torch.randn(*size, device=device, dtype=torch.float16)

    table = (shape.vocabulary, shape.hidden)
    ends = {"model.embed_tokens.weight": half(*table) * 0.02}
    ends["model.norm.weight"] = 1 + 0.1 * half(shape.hidden)
    if not shape.tied_embeddings:
        ends["lm_head.weight"] = half(*table) * 0.02
    save("ends.safetensors", ends)
    kv = shape.kv_heads * shape.head_size
    sizes = {
        "self_attn.q": (shape.hidden, shape.hidden),
        "self_attn.k": (kv, shape.hidden),
        "self_attn.v": (kv, shape.hidden),
        "self_attn.o": (shape.hidden, shape.hidden),
        "mlp.gate": (shape.intermediate, shape.hidden),
        "mlp.up": (shape.intermediate, shape.hidden),
        "mlp.down": (shape.hidden, shape.intermediate),
    }
    for layer in range(shape.layers):
        at = f"model.layers.{layer}."
        tensors = {}
        for name, (rows, inputs) in sizes.items():
            for part, tensor in random_linear(kind, rows, inputs, device).items():
                tensors[f"{at}{name}_proj.{part}"] = tensor
            if name[-1] in "qkv":
                tensors[f"{at}{name}_proj.bias"] = 0.1 * half(rows)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{at}{norm}.weight"] = 1 + 0.1 * half(shape.hidden)
        save(f"layer{layer}.safetensors", tensors)
    index = {"metadata": {}, "weight_map": placed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    (folder / "config.json").write_text(json.dumps(config(kind, shape)), "utf-8")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(TOKENIZER / name, folder / name)


def config(kind: str, shape: ModelShape) -> dict[str, Any]:
    """config.json in the authors' words."""
    found: dict[str, Any] = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "use_sliding_window": False,
        "tie_word_embeddings": shape.tied_embeddings,
        "torch_dtype": "float16",
        "vocab_size": shape.vocabulary,
    }
    if kind == "awq-int4":
        found["quantization_config"] = {
            "quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True,
            "version": "gemm",
        }  # fmt: skip
    elif kind != "fp16":
        found["quantization_config"] = {
            "quant_method": "gptq", "bits": int(kind[-1]), "group_size": GROUP, "sym": True,
            "desc_act": False,
        }  # fmt: skip
    return found
