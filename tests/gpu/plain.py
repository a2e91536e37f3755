"""Random products and small computers on the card, for the tests beside this file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from transformers import Qwen2ForCausalLM

from qwen_webui.engines.decode.computer import Computer
from qwen_webui.engines.decode.cuda.loading import load_computer
from qwen_webui.engines.decode.layouts import Linear, Plain
from qwen_webui.engines.decode.source import LayerTensors, Source
from qwen_webui.engines.loading import read_config
from qwen_webui.types import CheckpointSpec, Dtype, LoadPlan, ModelShape

DEMO = Path(__file__).parent.parent.parent / "qwen_webui" / "demo"
CONTEXT = 2048


def random_linear(kind: str, rows: int, inputs: int) -> Linear:
    """On the card: float16, bfloat16, int8, int4 or awq."""
    if kind.startswith("float") or kind.startswith("bfloat"):
        return (torch.randn(rows, inputs, device="cuda") * 0.02).to(getattr(torch, kind))
    bits = 8 if kind == "int8" else 4
    size = rows, inputs // 128
    values = torch.randint(0, 2**bits, (rows, inputs), device="cuda", dtype=torch.uint8)
    scales = (torch.rand(size, device="cuda") * 0.01 + 0.001).half()
    middle = torch.full(size, 2 ** (bits - 1), device="cuda", dtype=torch.uint8)
    anywhere = torch.randint(0, 16, size, device="cuda", dtype=torch.uint8)
    return Plain(values, scales, anywhere if kind == "awq" else middle, bits)


def plan(name: str, dtype: Dtype) -> LoadPlan:
    """One of the embedded checkpoints, on the card."""
    folder = str(DEMO / name)
    shape = ModelShape(9, 4, 2, 64, 256, 640, 5120, True, CONTEXT)
    spec = CheckpointSpec(
        name, name, "embedded", "demo", "fp16", "apache-2.0", 0, shape, None, folder
    )
    return LoadPlan(spec, folder, "cuda", dtype, CONTEXT)


@cache
def computer(name: str, dtype: Dtype) -> Computer:
    """Loaded once for all tests."""
    own = plan(name, dtype)
    return load_computer(own, read_config(own), dtype)


@cache
def reference(name: str) -> Qwen2ForCausalLM:
    """transformers' own model in float32 with the values that the packed weights mean."""
    own = plan(name, "float16")
    config = read_config(own)
    source = Source(Path(own.folder), config, "cuda")
    weights = {"model.embed_tokens.weight": source.table(), "model.norm.weight": source.gain()}
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    for place in range(source.shape.layers):
        at = f"model.layers.{place}."
        weights |= {f"{at}{n}": t for n, t in _named(source.layer(place)).items()}
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config._attn_implementation = "eager"
    model = Qwen2ForCausalLM(config).cuda().float().eval()
    model.load_state_dict({name: t.float() for name, t in weights.items()})
    return model


def _named(layer: LayerTensors) -> dict[str, Tensor]:
    rooms = {"q": "self_attn", "k": "self_attn", "v": "self_attn", "o": "self_attn"}
    named = {}
    for name in ("q", "k", "v", "o", "gate", "up", "down"):
        linear = getattr(layer, name)
        dense = linear if isinstance(linear, Tensor) else linear.dense(torch.float32)
        named[f"{rooms.get(name, 'mlp')}.{name}_proj.weight"] = dense
    for name in "qkv":
        named[f"self_attn.{name}_proj.bias"] = getattr(layer, f"{name}_bias")
    named["input_layernorm.weight"] = layer.input_gain
    named["post_attention_layernorm.weight"] = layer.post_gain
    return named


@torch.no_grad()
def expected(name: str, token_ids: list[int]) -> Tensor:
    """The reference's logits of every token, float32 on the card."""
    return reference(name)(torch.tensor([token_ids], device="cuda")).logits[0]


def distance(found: Tensor, wanted: Tensor) -> float:
    """Relative error; not a number if any value is none."""
    return float((found.double() - wanted.double()).norm() / wanted.double().norm())
