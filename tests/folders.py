"""Makes checkpoint folders of a few kilobytes, for tests that look at files and load nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONFIG: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 300,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
QUANTIZATION: dict[str, dict[str, Any]] = {
    "gptq-int8": {"quant_method": "gptq", "bits": 8, "group_size": 128},
    "gptq-int4": {"quant_method": "gptq", "bits": 4, "group_size": 128},
    "awq-int4": {"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm"},
}


def safetensors(sizes: dict[str, int]) -> bytes:
    """A file with one uint8 tensor of zeros a name."""
    header, end = {}, 0
    for name, size in sizes.items():
        header[name] = {"dtype": "U8", "shape": [size], "data_offsets": [end, end + size]}
        end += size
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)


def checkpoint_files(
    precision: str = "fp16", *, shards: int = 1, shard_bytes: int = 4_096, **config: Any
) -> dict[str, bytes]:
    """The files of a checkpoint by name."""
    entries = CONFIG | config
    if precision != "fp16":
        entries = entries | {"quantization_config": QUANTIZATION[precision]}
    files = {
        "config.json": json.dumps(entries).encode(),
        "tokenizer.json": b'{"decoder": {"type": "ByteLevel"}}',
        "tokenizer_config.json": b"{}",
        "LICENSE": b"Apache-2.0",
    }
    if shards == 1:
        return files | {"model.safetensors": safetensors({"weight": shard_bytes})}
    names = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
    index = {"weight_map": {f"weight.{i}": name for i, name in enumerate(names)}}
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    return files | {name: safetensors({f"weight.{i}": shard_bytes}) for i, name in enumerate(names)}


def write_checkpoint(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    """`files` (by default an unquantised checkpoint) in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (files or checkpoint_files()).items():
        (folder / name).write_bytes(content)
    return folder
