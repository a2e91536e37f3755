"""The reference's predictions on the disk, so that two checkpoints are never in memory at once.

A file a window: `<key>.bin` in the folder `fidelity` of the data folder. The key is the SHA-256 of
everything the predictions depend on. The file:

    8 bytes   b"QWFIDEL1"
    32 bytes  SHA-256 of all that follows
    8 bytes   positions and width, two uint32
    then      ids int32 [positions, width], logprobs float32 [positions, width],
              tail float32 [positions], following float32 [positions], likeliest int32 [positions]

All numbers little-endian; their meaning is types.Distributions'. A window of 256 positions with
1,024 ids takes 2.1 MB. What was not used for longest goes when all take more than MOST_BYTES.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from qwen_webui.errors import StoreError
from qwen_webui.types import Distributions

FOLDER = "fidelity"
MAGIC = b"QWFIDEL1"
MOST_BYTES = 512 << 20
_HEAD = struct.Struct("<II")
_DIGEST = hashlib.sha256().digest_size


class ReferenceStore:
    """Keeps windows in `folder`, which is made with the first; `most` in bytes."""

    def __init__(self, folder: Path, most: int = MOST_BYTES) -> None:
        self._folder = folder
        self._most = most

    def get(self, key: str) -> Distributions | None:
        """What was put under `key`; None where there is nothing, or nothing whole."""
        path = self._path(key)
        try:
            data = path.read_bytes()
            found = _unpacked(data)
            if found is not None:
                os.utime(path)  # used now: others go first
        except OSError:
            return None
        return found

    def put(self, key: str, found: Distributions) -> None:
        """Keep `found`: all of it or nothing. Raises StoreError."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._folder, suffix=".part")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(_packed(found))
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self._path(key))
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
            self._sweep()
        except OSError as error:
            raise StoreError(
                f"The reference's predictions cannot be kept ({error.strerror}). Make room on the "
                "disk, or choose another folder with --data-dir."
            ) from error

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.bin"

    def _sweep(self) -> None:
        """Delete what was not used for longest, down to what may be kept, but never the newest."""
        found = [path for path in self._folder.iterdir() if path.suffix in (".bin", ".part")]
        files = sorted(found, key=lambda path: path.stat().st_mtime_ns)
        left = sum(path.stat().st_size for path in files)
        for path in files[:-1]:
            if left <= self._most:
                return
            left -= path.stat().st_size
            with suppress(FileNotFoundError):  # another run was first
                path.unlink()


def key_of(parts: Mapping[str, str | int], token_ids: tuple[int, ...]) -> str:
    """The name under which predictions are kept that depend on `parts` and these tokens."""
    digest = hashlib.sha256()
    for name, value in sorted(parts.items()):
        digest.update(f"{name}={value}\n".encode())
    digest.update(",".join(map(str, token_ids)).encode())
    return digest.hexdigest()


def _packed(found: Distributions) -> bytes:
    arrays = (found.ids, found.logprobs, found.tail, found.following, found.likeliest)
    body = _HEAD.pack(found.positions, found.width) + b"".join(arrays)
    return MAGIC + hashlib.sha256(body).digest() + body


def _unpacked(data: bytes) -> Distributions | None:
    start = len(MAGIC) + _DIGEST
    body = data[start:]
    if data[: len(MAGIC)] != MAGIC or hashlib.sha256(body).digest() != data[len(MAGIC) : start]:
        return None
    positions, width = _HEAD.unpack_from(body)
    sizes = (4 * positions * width,) * 2 + (4 * positions,) * 3
    parts, place = [], _HEAD.size
    for size in sizes:
        parts.append(body[place : place + size])
        place += size
    return Distributions(positions, width, *parts)
