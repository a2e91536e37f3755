"""Tensors from safetensors files to the card, by several threads at once.

The library maps a file and copies it page by page as it touches it, which kept a card waiting at
some 4 GB/s for files that the system held in memory; eight threads that read into pinned memory
and copy from there bring several times that. What a file says of itself is the library's to check.
"""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import safe_open
from torch import Tensor

from qwen_webui.engines.decode.source import NotForThisPath

THREADS = 8
CHUNK = 8 << 20
KINDS = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


class Readers:
    """The threads, each with a piece of pinned memory and a stream of its own, until the end of
    the `with`."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="weights")
        self._own = threading.local()
        self._files: list[CardFile] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # After an error the rest is not wanted; what has begun still writes where it was told to.
        self._pool.shutdown(cancel_futures=True)
        for file in self._files:
            file.close()

    def opened(self, path: Path) -> CardFile:
        """Raises SafetensorError where the library would not read it."""
        file = CardFile(path, self)
        self._files.append(file)
        return file

    def fill(self, out: Tensor, descriptor: int, start: int) -> None:
        """All bytes of `out` from those of the file from `start` on."""
        flat = out.view(-1).view(torch.uint8)
        # The memory may have been somebody else's, whose kernels still read it.
        free = torch.cuda.Event()
        free.record()
        jobs = [
            self._pool.submit(self._copy, flat[at : at + CHUNK], descriptor, start + at, free)
            for at in range(0, len(flat), CHUNK)
        ]
        for job in jobs:
            job.result()

    def _copy(self, part: Tensor, descriptor: int, start: int, free: torch.cuda.Event) -> None:
        own: Any = self._own
        if not hasattr(own, "stream"):
            own.stream = torch.cuda.Stream()
            own.buffer = torch.empty(CHUNK, dtype=torch.uint8, pin_memory=True)
        here = own.buffer[: len(part)]
        into, done = memoryview(here.numpy()), 0
        while done < len(part):
            count = os.preadv(descriptor, [into[done:]], start + done)
            if count == 0:
                raise OSError("a file of weights became shorter while it was read")
            done += count
        with torch.inference_mode(), torch.cuda.stream(own.stream):
            own.stream.wait_event(free)
            part.copy_(here, non_blocking=True)
            own.stream.synchronize()


class CardFile:
    """One file, with the one method of safetensors.safe_open that Source uses."""

    def __init__(self, path: Path, readers: Readers) -> None:
        with safe_open(path, framework="pt"):
            # It would read the file.
            pass
        self._readers = readers
        self._descriptor = os.open(path, os.O_RDONLY)
        size = int.from_bytes(os.pread(self._descriptor, 8, 0), "little")
        self._first = 8 + size
        self._tensors = json.loads(os.pread(self._descriptor, size, 8))

    def get_tensor(self, name: str) -> Tensor:
        """On the card. Raises NotForThisPath for a type that is not read here."""
        told = self._tensors[name]
        if told["dtype"] not in KINDS:
            raise NotForThisPath(f"{name} is stored as {told['dtype']}")
        out = torch.empty(told["shape"], dtype=KINDS[told["dtype"]], device="cuda")
        if out.numel():
            self._readers.fill(out, self._descriptor, self._first + told["data_offsets"][0])
        return out

    def close(self) -> None:
        """Nothing is read from it afterwards."""
        os.close(self._descriptor)
