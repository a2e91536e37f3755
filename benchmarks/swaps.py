"""Swaps between the precisions on a card, as the worker makes them: seconds to ready, and memory.

    python benchmarks/swaps.py [--shape 7B|0.5B] [--kinds fp16,gptq-int8,...] [--swaps 50]

Writes checkpoints with random weights and loads each three times from its files, which the system's
page cache then holds (the first load also compiles kernels that are not in Triton's cache). The
third begins a copy in the host's memory (--host-cache) when it has answered; "kept after" is how
long that goes on. Then they are loaded from there in turn. Ready is after the first answer, graphs
of all batch sizes included. Device memory is what the driver says is taken.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from random_checkpoints import KINDS, SHAPES, write_checkpoint

from qwen_webui.checkpoints import describe_folder
from qwen_webui.engines.decode.host_cache import HostCache
from qwen_webui.engines.paths import AnyModel, load_model
from qwen_webui.types import LoadPlan

CONTEXT = 8192
MB = 10**6


def load(folder: Path, cache: HostCache, kept: int) -> tuple[float, AnyModel]:
    """Seconds until it answers, and the model."""
    plan = LoadPlan(
        describe_folder(folder), str(folder), "cuda", "float16", CONTEXT, host_cache=kept
    )
    before = time.perf_counter()
    model = load_model(plan, lambda _: None, cache)
    torch.cuda.synchronize()
    return time.perf_counter() - before, model


def taken() -> int:
    """Bytes of the card that are not free."""
    free, total = torch.cuda.mem_get_info()
    return total - free


def main() -> None:
    """A line a precision, then the swaps."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shape", choices=tuple(SHAPES), default="7B")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    kinds = given.kinds.split(",")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {given.shape}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folders = {kind: (given.folder or Path(scratch)) / kind for kind in kinds}
        for kind, folder in folders.items():
            if not folder.exists():
                write_checkpoint(folder, kind, SHAPES[given.shape], "cuda")
        torch.cuda.empty_cache()
        print("| precision | first load | from the page cache | with a copy begun | kept after |")
        print("|---|---|---|---|---|", flush=True)
        cache, most = HostCache(), 1 << 40
        firsts = {}
        for kind, folder in folders.items():
            firsts[kind], model = load(folder, cache, 0)
            model.unload()
        for kind, folder in folders.items():
            held = cache.nbytes
            again, model = load(folder, HostCache(), 0)
            model.unload()
            begun, model = load(folder, cache, most)
            before = time.perf_counter()
            cache.settle()
            copied = time.perf_counter() - before
            model.unload()
            kept = f"{copied:.2f} s" if cache.nbytes > held else "not kept"
            print(
                f"| {kind} | {firsts[kind]:.2f} s | {again:.2f} s | {begun:.2f} s | {kept} |",
                flush=True,
            )
        found: dict[str, list[float]] = {kind: [] for kind in kinds}
        after: list[int] = []
        for swap in range(given.swaps):
            kind = kinds[swap % len(kinds)]
            seconds, model = load(folders[kind], cache, most)
            found[kind].append(seconds)
            # As the worker does before it unloads.
            cache.settle(stop=True)
            model.unload()
            after.append(taken())
        for kind, seconds_of in found.items():
            middle, worst = statistics.median(seconds_of), max(seconds_of)
            print(f"{kind} from the host's memory: {middle:.2f} s (at most {worst:.2f})")
        one = after[min(len(kinds), len(after)) - 1]
        print(
            f"device memory with nothing loaded: {one / MB:.0f} MB after the first round, "
            f"{after[-1] / MB:.0f} after {given.swaps} swaps, at most {max(after) / MB:.0f}"
        )
        cache.limit(0)


if __name__ == "__main__":
    main()
