"""Reads safetensors headers: is a file whole, what tensors does it hold, how many bytes.

The format (github.com/huggingface/safetensors, README): eight bytes little-endian header length,
a JSON header that gives each tensor's dtype, shape and offsets, then the data. Loads no weights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_webui.errors import CheckpointError, CheckpointMissing

MAX_HEADER = 100_000_000
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Shard:
    """One safetensors file: its tensors' names and the bytes of their data."""

    name: str
    tensors: frozenset[str]
    data_bytes: int


def read_shard(path: Path) -> Shard:
    """Raises CheckpointError when the file is shorter or longer than its header says."""
    again = "Download the checkpoint again."
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER):
            raise CheckpointError(
                f"{path.name} is cut off: its header of {length:,} bytes does not fit into a file "
                f"of {size:,} bytes. {again}"
            )
        try:
            header = json.loads(file.read(length))
            ends = [
                end
                for name, entry in header.items()
                if name != "__metadata__"
                for end in (int(entry["data_offsets"][1]),)
            ]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as bad:
            raise CheckpointError(f"The header of {path.name} is damaged. {again}") from bad
    data = max(ends, default=0)
    if 8 + length + data != size:
        word = "cut off" if size < 8 + length + data else "damaged"
        raise CheckpointError(
            f"{path.name} is {word}: it has {size:,} bytes, its header announces "
            f"{8 + length + data:,}. {again}"
        )
    return Shard(path.name, frozenset(header) - {"__metadata__"}, data)


def read_shards(folder: Path) -> tuple[Shard, ...]:
    """Every shard of the checkpoint, checked, and complete by the index if there is one.

    Raises CheckpointMissing for missing files, CheckpointError for pickle-only folders.
    """
    index = folder / INDEX
    if index.is_file():
        wanted = _index_files(index)
        missing = [name for name in wanted if not (folder / name).is_file()]
        if missing:
            raise CheckpointMissing(
                f"{len(missing)} of {len(wanted)} weight files are missing, the first is "
                f"{missing[0]}. Download the checkpoint again; what is there is kept."
            )
        return tuple(read_shard(folder / name) for name in wanted)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        _refuse_without_safetensors(folder)
    if len(files) > 1:
        raise CheckpointMissing(
            f"The folder has {len(files)} safetensors files but no {INDEX} that says what belongs "
            "together. Download the checkpoint again."
        )
    return (read_shard(files[0]),)


def _index_files(index: Path) -> list[str]:
    try:
        weights: Any = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted({str(name) for name in weights.values()})
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise CheckpointError(
            f"{index.name} cannot be read. Download the checkpoint again."
        ) from error
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise CheckpointError(
                f"{index.name} names a file that is no safetensors file of this folder. "
                "Use a checkpoint from a source you trust."
            )
    return names


def _refuse_without_safetensors(folder: Path) -> None:
    pickles = [p for kind in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in folder.glob(kind)]
    if pickles:
        raise CheckpointError(
            f"The checkpoint has its weights only as pickle files ({sorted(pickles)[0].name}), "
            "which can run code when loaded; only safetensors are read. Convert it with "
            "transformers' save_pretrained, or use a checkpoint that has safetensors."
        )
    raise CheckpointMissing(
        "The folder has no weights (*.safetensors). Download the checkpoint again or name "
        "another folder."
    )
