"""Write and read the checkpoint folder: float16 safetensors, config, generation defaults.

The folder is what `AutoModelForCausalLM.from_pretrained` loads. It does not quantise.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from demo_training.model import Model, Shape
from demo_training.tokenizer import ENDOFTEXT, IM_END

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def export(model: Model, tokenizer_folder: Path, folder: Path) -> None:
    """Write the whole checkpoint; an older one in `folder` is overwritten file by file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        if tokenizer_folder.resolve() != folder.resolve():
            shutil.copyfile(tokenizer_folder / name, folder / name)
    ids = control_ids(folder)
    _write_json(folder / "config.json", model_config(model.shape, ids))
    _write_json(folder / "generation_config.json", generation_config(ids))
    weights = {
        name: value.detach().to("cpu", torch.float16).contiguous()
        for name, value in model.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def load(folder: Path) -> Model:
    """A training model with the weights and the shape of an exported folder."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    shape = Shape(
        vocabulary=config["vocab_size"],
        hidden=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        key_value_heads=config["num_key_value_heads"],
        mlp=config["intermediate_size"],
        context=config["max_position_embeddings"],
        rope_theta=config["rope_theta"],
        norm_epsilon=config["rms_norm_eps"],
    )
    model = Model(shape)
    weights = load_file(folder / "model.safetensors")
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    return model


def control_ids(folder: Path) -> dict[str, int]:
    """Control token to its id, read from the tokenizer."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    return {token["content"]: token["id"] for token in tokenizer["added_tokens"]}


def model_config(shape: Shape, ids: dict[str, int]) -> dict[str, Any]:
    """`config.json` with the keys that Qwen2.5's own files have."""
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": ids[ENDOFTEXT],
        "eos_token_id": ids[IM_END],
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "intermediate_size": shape.mlp,
        "max_position_embeddings": shape.context,
        "max_window_layers": shape.layers,
        "model_type": "qwen2",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.key_value_heads,
        "pad_token_id": ids[ENDOFTEXT],
        "rms_norm_eps": shape.norm_epsilon,
        "rope_theta": shape.rope_theta,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": shape.vocabulary,
    }


def generation_config(ids: dict[str, int]) -> dict[str, Any]:
    """Sampling defaults. No repetition penalty: the model's work is to copy from its prompt."""
    return {
        "bos_token_id": ids[ENDOFTEXT],
        "do_sample": True,
        "eos_token_id": [ids[IM_END], ids[ENDOFTEXT]],
        "pad_token_id": ids[ENDOFTEXT],
        "repetition_penalty": 1.0,
        "temperature": 0.7,
        "top_k": 20,
        "top_p": 0.8,
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
