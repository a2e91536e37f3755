"""A folder with a checkpoint: what it is, and whether it can be trusted to load.

Reads config.json and the safetensors headers. Anything that would run code of the checkpoint is
refused here, before a library that might run it sees the folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qwen_webui.checkpoints.shards import read_shards
from qwen_webui.errors import CheckpointError, CheckpointMissing
from qwen_webui.types import CheckpointSpec, ModelShape, Precision

ARCHITECTURE = "Qwen2ForCausalLM"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
# Inputs that share a scale where quantization_config does not say, as the libraries take it.
UNSAID_GROUP = 128


def describe_folder(
    folder: Path, name: str | None = None, *, embedded: bool = False
) -> CheckpointSpec:
    """What the checkpoint in `folder` is. Raises CheckpointError with one sentence otherwise.

    `weights_bytes` is the sum of the tensors' data in the safetensors files.
    """
    config = read_config(folder)
    check_config(config)
    _check_tokenizer_files(folder)
    shape = shape_of(config)
    precision = precision_of(config)
    given = name or folder.resolve().name
    return CheckpointSpec(
        name=given,
        title=f"Demonstration model, {precision}" if embedded else given,
        family="demo" if embedded else "local",
        size=_size_name(shape),
        precision=precision,
        licence="Apache-2.0" if embedded else "see its LICENSE file",
        weights_bytes=sum(shard.data_bytes for shard in read_shards(folder)),
        shape=shape,
        folder=str(folder),
        group_size=_group_size_of(config),
    )


def verify_folder(folder: Path) -> None:
    """Everything that can be checked before a load: files, headers, lengths, index, config.

    Raises CheckpointMissing or CheckpointError with one sentence.
    """
    config = read_config(folder)
    check_config(config)
    shape_of(config)
    precision_of(config)
    _check_tokenizer_files(folder)
    read_shards(folder)


def read_config(folder: Path) -> Mapping[str, Any]:
    """config.json of the folder. Raises CheckpointMissing, CheckpointError."""
    if not folder.is_dir():
        raise CheckpointMissing(
            f"There is no folder {folder.name}. Check the spelling, or name a catalogue entry or "
            "a hub id."
        )
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointMissing(
            f"The folder {folder.name} has no config.json, so it is no checkpoint. Name the folder "
            "that holds config.json and the safetensors files."
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(
            "config.json of the checkpoint cannot be read as JSON. Download the checkpoint again."
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError("config.json of the checkpoint is not a JSON object.")
    return config


def check_config(config: Mapping[str, Any]) -> None:
    """Refuse a config.json that asks for its own code or that no engine here can run."""
    for path, key in _keys(config):
        if key == "auto_map":
            raise CheckpointError(
                "config.json asks to run code from the checkpoint (auto_map). Code from a "
                "checkpoint never runs here; use a checkpoint of the plain Qwen2 architecture."
            )
        if key.endswith("_internal"):
            raise CheckpointError(
                f"config.json sets {path}, a key for the internals of the loading library that no "
                "published checkpoint needs. Use a checkpoint from a source you trust."
            )
    found = config.get("architectures")
    if found != [ARCHITECTURE] or config.get("model_type") != "qwen2":
        shown = ", ".join(map(str, found))[:100] if isinstance(found, list) and found else "none"
        raise CheckpointError(
            f"The checkpoint's architecture is {shown}; supported is {ARCHITECTURE} (Qwen2 and "
            "Qwen2.5). Choose a checkpoint of that kind."
        )


def _keys(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Every key in nested JSON, with the path to it."""
    if isinstance(value, Mapping):
        here = [(f"{path}{key}", str(key)) for key in value]
        return here + [found for k, v in value.items() for found in _keys(v, f"{path}{k}.")]
    if isinstance(value, list):
        return [found for item in value for found in _keys(item, path)]
    return []


def shape_of(config: Mapping[str, Any]) -> ModelShape:
    """The shape in config.json. Raises CheckpointError naming the entry that is wrong."""

    def number(key: str, default: int | None = None) -> int:
        value = config.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
            raise CheckpointError(
                f"config.json has no usable {key}; expected is a positive whole number. "
                "Download the checkpoint again."
            )
        return value

    heads = number("num_attention_heads")
    hidden = number("hidden_size")
    return ModelShape(
        layers=number("num_hidden_layers"),
        heads=heads,
        kv_heads=number("num_key_value_heads", heads),
        head_size=number("head_dim", hidden // heads if hidden >= heads else None),
        hidden=hidden,
        intermediate=number("intermediate_size"),
        vocabulary=number("vocab_size"),
        tied_embeddings=bool(config.get("tie_word_embeddings", False)),
        context_length=number("max_position_embeddings", 32_768),
    )


def precision_of(config: Mapping[str, Any]) -> Precision:
    """The precision that `quantization_config` says. Raises CheckpointError for another kind."""
    block = config.get("quantization_config")
    if block is None:
        return "fp16"
    method = block.get("quant_method") if isinstance(block, Mapping) else None
    bits = block.get("bits", block.get("w_bit")) if isinstance(block, Mapping) else None
    known: dict[tuple[object, object], Precision] = {
        ("gptq", 8): "gptq-int8",
        ("gptq", 4): "gptq-int4",
        ("awq", 4): "awq-int4",
    }
    precision = known.get((method, bits)) if isinstance(bits, int) else None
    if precision is None:
        raise CheckpointError(
            f"The checkpoint is quantised as {str(method)[:40]} with {str(bits)[:10]} bits; "
            "supported are GPTQ with 8 or 4 bits and AWQ with 4. Use one of those, or the "
            "unquantised checkpoint."
        )
    return precision


def _group_size_of(config: Mapping[str, Any]) -> int:
    """What quantization_config says, 128 where it says nothing; -1 for what is no size: whole
    rows, which the tools write in several ways."""
    block = config.get("quantization_config")
    if not isinstance(block, Mapping):
        return UNSAID_GROUP
    size = block.get("group_size", block.get("q_group_size", UNSAID_GROUP))
    return size if isinstance(size, int) and size > 0 else -1


def _check_tokenizer_files(folder: Path) -> None:
    missing = [name for name in TOKENIZER_FILES if not (folder / name).is_file()]
    if missing:
        raise CheckpointMissing(
            f"The checkpoint has no {missing[0]}. Put the model's own file into the folder or "
            "download the checkpoint again."
        )


def _size_name(shape: ModelShape) -> str:
    """Parameters in millions or billions, from the shape."""
    kv = shape.kv_heads * shape.head_size
    queries = shape.heads * shape.head_size
    layer = shape.hidden * (2 * queries + 2 * kv + 3 * shape.intermediate)
    embeddings = shape.vocabulary * shape.hidden * (1 if shape.tied_embeddings else 2)
    millions = (shape.layers * layer + embeddings) / 1e6
    return f"{millions / 1e3:.1f}B" if millions >= 500 else f"{millions:.0f}M"
