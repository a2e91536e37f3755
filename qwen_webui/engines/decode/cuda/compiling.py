"""Kernels compiled before the first answer, several at a time. Triton keeps them on disk, so that
only the first load on a card and version waits for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from triton import AsyncCompileMode

from qwen_webui.engines.decode.cuda.step import Start

# Compiling is done by LLVM and ptxas without Python's lock, and takes some 300 MB a thread.
MOST_THREADS = 8


def compile_all(hands_out: Iterable[Callable[[Start], object]]) -> None:
    """Compile what the functions hand out. Raises Triton's errors."""
    threads = max(1, min(MOST_THREADS, os.cpu_count() or 1))
    with ThreadPoolExecutor(threads) as pool, AsyncCompileMode(pool):
        for hand_out in hands_out:
            hand_out(_compiled)


def _compiled(kernel: Any, grid: tuple[int, ...], *arguments: object, **options: object) -> None:
    kernel.warmup(*arguments, grid=grid, **options)
