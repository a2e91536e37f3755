"""A Qwen2 checkpoint's tensors out of its safetensors files, one decoder layer at a time.

Reads FP16, GPTQ and AWQ as published and unpacks what is packed (layouts.py). Builds no model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import PretrainedConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from qwen_webui.engines.decode.layouts import Linear, Plain, unpack_awq, unpack_gptq
from qwen_webui.engines.kernels import quantization
from qwen_webui.errors import CheckpointError

OUT_OF_ORDER = "its groups are in the order of activations (desc_act)"
# Those whose frequencies do not depend on how long a text is.
ROTATIONS = ("default", "yarn", "linear")


class NotForThisPath(Exception):
    """A checkpoint that only the reference path computes; the text says why."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What of config.json a computation needs."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int
    eps: float

    @classmethod
    def of(cls, config: PretrainedConfig) -> Shape:
        """From config.json as transformers reads it. Raises NotForThisPath."""
        if config.model_type != "qwen2" or config.hidden_act != "silu":
            raise NotForThisPath(f"it is {config.model_type} with {config.hidden_act}, not Qwen2")
        if config.use_sliding_window:
            raise NotForThisPath("its attention has a sliding window")
        if config.rope_parameters["rope_type"] not in ROTATIONS:
            raise NotForThisPath(
                f"its positions are turned by {config.rope_parameters['rope_type']}"
            )
        heads, hidden = config.num_attention_heads, config.hidden_size
        return cls(
            config.num_hidden_layers,
            hidden,
            config.intermediate_size,
            heads,
            config.num_key_value_heads,
            getattr(config, "head_dim", None) or hidden // heads,
            config.vocab_size,
            config.rms_norm_eps,
        )


@dataclass(frozen=True, slots=True)
class LayerTensors:
    """One decoder layer as stored. Linears are [outputs, inputs], in the file's own dtype."""

    q: Linear
    k: Linear
    v: Linear
    o: Linear
    gate: Linear
    up: Linear
    down: Linear
    q_bias: Tensor
    k_bias: Tensor
    v_bias: Tensor
    input_gain: Tensor
    post_gain: Tensor


class Source:
    """The tensors of one folder, read onto `device`. Raises CheckpointError for what is missing,
    NotForThisPath for layouts that are not read here."""

    def __init__(
        self, folder: Path, config: PretrainedConfig, device: str = "cpu", any_order: bool = False,
        opened: Callable[[Path], Any] | None = None,
    ) -> None:  # fmt: skip
        """With `any_order`, products whose groups are in the order of activations (desc_act) come
        unpacked to floats; otherwise they are refused. `opened` reads a file as
        safetensors.safe_open does, where there is a faster way."""
        self.shape = Shape.of(config)
        self._any_order = any_order
        self._open = opened or partial(safe_open, framework="pt", device=device)
        self._tied = bool(config.tie_word_embeddings)
        self._quantized = quantization(config)
        if self._quantized is not None:
            _require_known(self._quantized, any_order)
        self._files: dict[Path, Any] = {}
        self._of = _files_of(folder)

    def table(self) -> Tensor:
        """Embeddings, [vocabulary, hidden]."""
        return self._tensor("model.embed_tokens.weight")

    def gain(self) -> Tensor:
        """Of the last norm."""
        return self._tensor("model.norm.weight")

    def head(self) -> Tensor | None:
        """The output matrix, [vocabulary, hidden]; None where the table serves."""
        return None if self._tied else self._tensor("lm_head.weight")

    def layer(self, place: int) -> LayerTensors:
        """All of decoder layer `place`."""
        at = f"model.layers.{place}."
        found = {
            name: self._linear(f"{at}{room}.{name}_proj")
            for room, names in (("self_attn", "qkvo"), ("mlp", ("gate", "up", "down")))
            for name in names
        }
        biases = [self._tensor(f"{at}self_attn.{name}_proj.bias") for name in "qkv"]
        gains = [
            self._tensor(f"{at}{name}.weight")
            for name in ("input_layernorm", "post_attention_layernorm")
        ]
        self._refuse_other_biases(at)
        small = dict(zip(_SMALL, [*biases, *gains], strict=True))
        return LayerTensors(
            q=found["q"],
            k=found["k"],
            v=found["v"],
            o=found["o"],
            gate=found["gate"],
            up=found["up"],
            down=found["down"],
            **small,
        )

    def let_go(self) -> None:
        """Close the files until the next read: pages of theirs that were read count as memory."""
        self._files.clear()

    def _linear(self, name: str) -> Linear:
        if self._quantized is None or f"{name}.weight" in self._of:
            return self._tensor(f"{name}.weight")
        words, zeros, scales = (
            self._tensor(f"{name}.{kind}") for kind in ("qweight", "qzeros", "scales")
        )
        if self._quantized["quant_method"] == "awq":
            plain = unpack_awq(words, zeros, scales)
        else:
            version = self._quantized.get("checkpoint_format") or "gptq"
            bits = int(self._quantized["bits"])
            plain = unpack_gptq(words, zeros, scales, bits, version == "gptq")
            return self._in_order(name, plain)
        return plain

    def _in_order(self, name: str, plain: Plain) -> Linear:
        if f"{name}.g_idx" not in self._of:
            return plain
        groups = self._tensor(f"{name}.g_idx").long()
        inputs = torch.arange(plain.values.shape[1], device=plain.values.device)
        if torch.equal(groups, inputs // plain.group):
            return plain
        if not self._any_order:
            raise NotForThisPath(OUT_OF_ORDER)
        return (plain.values.float() - plain.zeros[:, groups]) * plain.scales[:, groups]

    def _refuse_other_biases(self, at: str) -> None:
        """AutoGPTQ wrote biases of zeros where Qwen2 has none; others would mean something."""
        for name in ("self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"):
            key = f"{at}{name}.bias"
            if key in self._of and bool(self._tensor(key).any()):
                raise NotForThisPath(f"{name} has a bias")

    def _tensor(self, name: str) -> Tensor:
        path = self._of.get(name)
        if path is None:
            raise CheckpointError(
                f"The weights {name} are not in the model's files. Download the checkpoint again, "
                "or use another."
            )
        if path not in self._files:
            self._files[path] = self._open(path)
        found: Tensor = self._files[path].get_tensor(name)
        return found


_SMALL = ("q_bias", "k_bias", "v_bias", "input_gain", "post_gain")


def rotation(config: PretrainedConfig, positions: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary embedding, [positions, head size] float32, the second half
    of each row like the first; YaRN's scaling is in them. The same numbers as transformers' module
    makes, whose import alone takes seconds."""
    kind = config.rope_parameters["rope_type"]
    if kind == "default":
        head = Shape.of(config).head
        turns = torch.arange(0, head, 2, dtype=torch.float32) / head
        frequencies, scale = 1.0 / config.rope_parameters["rope_theta"] ** turns, 1.0
    else:
        frequencies, scale = ROPE_INIT_FUNCTIONS[kind](config)
    angles = torch.arange(positions, dtype=torch.float32)[:, None] * frequencies
    angles = torch.cat([angles, angles], -1)
    return angles.cos() * scale, angles.sin() * scale


def _files_of(folder: Path) -> dict[str, Path]:
    """Which file holds which tensor."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        placed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return {name: folder / file for name, file in placed.items()}
    single = folder / "model.safetensors"
    with safe_open(single, framework="pt") as opened:
        return dict.fromkeys(opened.keys(), single)


def _require_known(quantized: Mapping[str, Any], any_order: bool) -> None:
    method, bits = quantized.get("quant_method"), quantized.get("bits")
    if method == "gptq" and bits in (4, 8):
        if quantized.get("checkpoint_format", "gptq") not in ("gptq", "gptq_v2"):
            raise NotForThisPath(f"format {quantized['checkpoint_format']} of GPTQ")
        if quantized.get("desc_act") and not any_order:
            raise NotForThisPath(OUT_OF_ORDER)
    elif method == "awq" and bits in (4, None):
        if str(quantized.get("version", "gemm")).lower() != "gemm":
            raise NotForThisPath(f"version {quantized['version']} of AWQ")
    else:
        raise NotForThisPath(f"{method} in {bits} bits")
    if quantized.get("lm_head"):
        raise NotForThisPath("its output matrix is quantised")
