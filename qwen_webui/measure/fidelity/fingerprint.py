"""Which checkpoint it is, by what its files hold. Reads little of large files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from qwen_webui.errors import CheckpointError

# Files up to this size are read whole; of larger ones so many slices, evenly spread.
WHOLE = 64 << 20
SLICES, SLICE = 256, 1 << 16
_SUFFIXES = (".json", ".safetensors", ".txt")


def fingerprint(folder: Path) -> str:
    """A hash of configuration, tokenizer and weights in `folder`.

    Of large files sizes, time of writing and slices count, so a copy may get another one, and is
    then measured again. Raises CheckpointError.
    """
    digest = hashlib.sha256()
    try:
        for path in sorted(p for p in folder.iterdir() if p.suffix in _SUFFIXES):
            size = path.stat().st_size
            digest.update(f"{path.name} {size}\n".encode())
            with path.open("rb") as file:
                if size <= WHOLE:
                    digest.update(file.read())
                    continue
                digest.update(f"{path.stat().st_mtime_ns}\n".encode())
                for number in range(SLICES):
                    file.seek(number * (size - SLICE) // (SLICES - 1))
                    digest.update(file.read(SLICE))
    except OSError as error:
        raise CheckpointError(
            f"A file of the checkpoint cannot be read ({error.strerror}). Fetch it again."
        ) from error
    return digest.hexdigest()
