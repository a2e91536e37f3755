"""Tiny checkpoints with random weights, written the way each tool wrote them.

Random weights make no sense of a text but load, compute and sample like trained ones, which is
all that the engine tests ask.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from qwen_webui.types import CheckpointSpec, LoadPlan, ModelShape, Precision
from tests.engines.packing import Levels, awq_tensors, gptq_tensors, round_to_nearest

HIDDEN, INNER, LAYERS, HEADS, KV_HEADS, CONTEXT, GROUP = 256, 512, 4, 4, 2, 16384, 128
VOCABULARY = 512  # the tokenizer knows fewer: like Qwen's own, the table is padded
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXT = (
    "The quick brown fox jumps over the lazy dog. Tell me a story about the sea, please!",
    "敏捷的棕色狐狸跳过了懒狗。请给我讲一个关于大海的故事。",
    "system user assistant 0123456789 {}[]()<>.,:;!?",
)
Weights = dict[str, Tensor]


def write_tokenizer(folder: Path) -> tuple[int, int]:
    """A byte-level BPE with ChatML's control tokens; returns the ids that end turn and text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.save(str(folder / "tokenizer.json"))
    added = {
        str(tokenizer.token_to_id(token)): {
            "content": token,
            "special": True,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "single_word": False,
        }
        for token in SPECIALS
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "added_tokens_decoder": added,
        "chat_template": TEMPLATE,
        "eos_token": SPECIALS[2],
        "pad_token": SPECIALS[0],
        "bos_token": None,
        "model_max_length": CONTEXT,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    write_json(folder / "tokenizer_config.json", settings)
    assert tokenizer.get_vocab_size() < VOCABULARY, "the table must be padded"
    return tokenizer.token_to_id(SPECIALS[2]), tokenizer.token_to_id(SPECIALS[0])


def random_weights(seed: int = 0) -> Weights:
    """Weights of a Qwen2 with tied embeddings, wide enough that the logits differ clearly."""
    torch.manual_seed(seed)
    head = HIDDEN // HEADS
    weights = {
        "model.embed_tokens.weight": torch.randn(VOCABULARY, HIDDEN) * 0.5,
        "model.norm.weight": torch.ones(HIDDEN),
    }
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{at}{norm}.weight"] = torch.ones(HIDDEN)
        for name, out, width in linear_shapes():
            weights[f"{at}{name}.weight"] = torch.randn(out, width) * 0.08
        for name, out in (("q", HIDDEN), ("k", KV_HEADS * head), ("v", KV_HEADS * head)):
            weights[f"{at}self_attn.{name}_proj.bias"] = torch.randn(out) * 0.02
    return {name: value.half() for name, value in weights.items()}


def linear_shapes() -> tuple[tuple[str, int, int], ...]:
    """Name, outputs and inputs of the seven products of a layer."""
    kv = KV_HEADS * HIDDEN // HEADS
    return (
        ("self_attn.q_proj", HIDDEN, HIDDEN),
        ("self_attn.k_proj", kv, HIDDEN),
        ("self_attn.v_proj", kv, HIDDEN),
        ("self_attn.o_proj", HIDDEN, HIDDEN),
        ("mlp.gate_proj", INNER, HIDDEN),
        ("mlp.up_proj", INNER, HIDDEN),
        ("mlp.down_proj", HIDDEN, INNER),
    )


def config(turn_end: int, **extra: Any) -> dict[str, Any]:
    """config.json as Qwen2.5's authors wrote it: dtype and theta at the top level."""
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "max_position_embeddings": CONTEXT,
        "max_window_layers": LAYERS,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "sliding_window": CONTEXT,
        "use_sliding_window": False,
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
        "use_cache": True,
        "vocab_size": VOCABULARY,
        "eos_token_id": turn_end,
        **extra,
    }


def write_checkpoint(folder: Path, weights: Weights, **extra: Any) -> Path:
    """A whole folder: tokenizer, configs and one safetensors file."""
    folder.mkdir(parents=True)
    turn_end, text_end = write_tokenizer(folder)
    write_json(folder / "config.json", config(turn_end, **extra))
    sampling = {
        "do_sample": True,
        "temperature": 0.7,
        "top_p": 0.8,
        "top_k": 20,
        "repetition_penalty": 1.05,
        "eos_token_id": [turn_end, text_end],
        "pad_token_id": text_end,
    }
    write_json(folder / "generation_config.json", sampling)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def quantized_weights(
    weights: Weights,
    levels: Callable[[Tensor], Levels],
    tensors: Callable[[Levels], Mapping[str, Tensor]],
) -> tuple[Weights, Weights]:
    """The packed weights, and the dense ones that the packed numbers mean."""
    packed, dense = dict(weights), dict(weights)
    for layer in range(LAYERS):
        for name, _, _ in linear_shapes():
            at = f"model.layers.{layer}.{name}"
            rounded = levels(packed.pop(f"{at}.weight"))
            packed |= {f"{at}.{kind}": value for kind, value in tensors(rounded).items()}
            dense[f"{at}.weight"] = rounded.dequantized
    return packed, dense


def with_zero_biases(packed: Weights) -> Weights:
    """As AutoGPTQ wrote it: a bias of zeros where the architecture has none."""
    extra = {
        f"model.layers.{layer}.{name}.bias": torch.zeros(out, dtype=torch.float16)
        for layer in range(LAYERS)
        for name, out, _ in linear_shapes()
        if name.startswith("mlp") or name.endswith("o_proj")
    }
    return packed | extra


def old_gptq(bits: int) -> dict[str, Any]:
    """quantization_config in AutoGPTQ's words: no checkpoint_format, exllama keys."""
    return {
        "quant_method": "gptq",
        "bits": bits,
        "group_size": GROUP,
        "damp_percent": 0.01,
        "desc_act": False,
        "static_groups": False,
        "sym": True,
        "true_sequential": True,
        "model_name_or_path": None,
        "model_file_base_name": "model",
        "use_exllama": True,
        "exllama_config": {"version": 1},
        "use_cuda_fp16": True,
        "batch_size": 1,
    }


def old_awq() -> dict[str, Any]:
    """quantization_config in AutoAWQ's words."""
    return {
        "quant_method": "awq",
        "bits": 4,
        "group_size": GROUP,
        "zero_point": True,
        "version": "gemm",
        "modules_to_not_convert": None,
    }


def write_gptq(folder: Path, weights: Weights, bits: int) -> Weights:
    """An AutoGPTQ folder; returns the dense weights that it means."""
    packed, dense = quantized_weights(
        weights,
        lambda weight: round_to_nearest(weight, bits, GROUP, symmetric=True),
        lambda levels: gptq_tensors(levels, zeros_minus_one=True),
    )
    write_checkpoint(folder, with_zero_biases(packed), quantization_config=old_gptq(bits))
    return dense


def write_awq(folder: Path, weights: Weights) -> Weights:
    """An AutoAWQ folder; returns the dense weights that it means."""
    packed, dense = quantized_weights(
        weights, lambda weight: round_to_nearest(weight, 4, GROUP, symmetric=False), awq_tensors
    )
    write_checkpoint(folder, packed, quantization_config=old_awq())
    return dense


def spec(folder: Path, precision: Precision = "fp16") -> CheckpointSpec:
    """What the library would say of a folder that write_checkpoint wrote."""
    shape = ModelShape(
        LAYERS, HEADS, KV_HEADS, HIDDEN // HEADS, HIDDEN, INNER, VOCABULARY, True, CONTEXT
    )
    size = (folder / "model.safetensors").stat().st_size
    return CheckpointSpec(
        folder.name, folder.name, "local", "tiny", precision, "none", size, shape, None, str(folder)
    )


def plan(folder: Path, precision: Precision = "fp16", **changes: Any) -> LoadPlan:
    """How the manager would have it loaded on this machine's CPU."""
    values: dict[str, Any] = {"device": "cpu", "dtype": "float32", "max_context": CONTEXT}
    return LoadPlan(spec(folder, precision), str(folder), **(values | changes))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """JSON as every tool writes it."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2), encoding="utf-8")
