"""The decode path's device by itself: tokens/s, first tokens, memory and swaps, text left out.

    python benchmarks/decode.py [--device cuda|cpu] [--shape 7B|0.5B] [--kinds fp16,gptq-int8,...]
                                [--dtype bfloat16]

Writes checkpoints of Qwen2.5's shapes with random weights in the published layouts (FP16, AutoGPTQ,
AutoAWQ), loads each as the worker does, and calls what the scheduler calls. A step includes the
upload of rows and positions and the choice of the likeliest token; `limit` is the bytes that a step
must read over the copy rate of this card, measured first. transformers' generate() in FP16 stands
beside. On a CPU, of 0.5B shapes, a table of both paths in each precision follows (paths.py), text
in and text out. Needs torch, transformers and Triton; no web library.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import paths
import torch
from random_checkpoints import KINDS, SHAPES, write_checkpoint
from transformers import AutoModelForCausalLM

from qwen_webui.engines.decode.computer import Computer
from qwen_webui.engines.loading import read_config
from qwen_webui.types import CheckpointSpec, Dtype, LoadPlan, ModelShape

SHORT, LONG, CONTEXT = 30, 6144, 8192
STEPS, WARM = 128, 16
# Tokens of an answer that both paths give on a CPU.
TOLD = 24
GIB = 1 << 30


def load(folder: Path, device: str, dtype: Dtype, shape: ModelShape) -> Computer:
    """As the worker would."""
    spec = CheckpointSpec(
        folder.name, folder.name, "local", "?", "fp16", "none", 0, shape, None, str(folder)
    )
    plan = LoadPlan(spec, str(folder), "cuda" if device == "cuda" else "cpu", dtype, CONTEXT)
    if device == "cuda":
        from qwen_webui.engines.decode.cuda.loading import load_computer

        return load_computer(plan, read_config(plan), dtype)
    from qwen_webui.engines.decode.cpu import load_computer

    return load_computer(plan, read_config(plan), dtype)


def wait(device: str) -> float:
    """The time, once the device has done what it was asked."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def tokens_per_second(own: Computer, count: int, start: int, device: str, steps: int) -> float:
    """Of `count` rows in all, from position `start` on; the median of three."""
    each = -(-(start + WARM + 3 * steps) // own.page_tokens)
    for row in range(count):
        own.seat(row, range(row * each, (row + 1) * each))
    tokens = torch.randint(0, 1000, (count,), device=device)
    rows, at, found = list(range(count)), start, []
    for run in (WARM, steps, steps, steps):
        before = wait(device)
        for _ in range(run):
            logits = own.decode(rows, tokens, [at] * count)
            tokens = own.likeliest(count) if device == "cuda" else logits.argmax(-1)  # type: ignore[attr-defined]
            at += 1
        found.append(count * run / (wait(device) - before))
    assert bool(torch.isfinite(logits).all()), "random weights compute numbers"
    return statistics.median(found[1:])


def milliseconds_to_first(own: Computer, prompt: int, cached: int, device: str) -> float:
    """From token ids on the host to the first token there; `cached` are computed before."""
    pages = -(-(cached + prompt) // own.page_tokens)
    own.seat(0, range(pages))
    ids = torch.randint(0, 1000, (cached + prompt,)).tolist()
    found = []
    for _ in range(5):
        before = wait(device)
        for start in range(cached, cached + prompt, own.piece):
            logits = own.prefill(
                0, ids[start : start + own.piece][: cached + prompt - start], start
            )
        int(logits.argmax())
        found.append((wait(device) - before) * 1e3)
    return statistics.median(found)


def copy_rate() -> float:
    """Bytes a second of a copy on the card, read and written."""
    source = torch.randint(0, 255, (1 << 32,), dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    found = []
    for _ in range(6):
        before = wait("cuda")
        target.copy_(source)
        found.append(2 * source.nbytes / (wait("cuda") - before))
    return max(found)


def swap(own: Any, folder: Path, shape: ModelShape) -> tuple[float, Any]:
    """Weights kept in pinned memory, all freed, then back: seconds until ready."""
    from qwen_webui.engines.decode.cuda.loading import restore

    saved = own.saved(lambda: False)
    own.close()
    release()
    spec = CheckpointSpec("", "", "local", "?", "fp16", "none", 0, shape, None, str(folder))
    read = read_config(LoadPlan(spec, str(folder), "cuda", "float16", CONTEXT))
    before = wait("cuda")
    back = restore(saved, read, CONTEXT)
    took = wait("cuda") - before
    saved.release()
    return took, back


def release() -> None:
    """Everything that nobody holds."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def transformers_rate(folder: Path, device: str) -> float:
    """generate() in 16 bits, 30 tokens in, 64 out."""
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float16, device_map={"": device}
    ).eval()
    ids = torch.randint(0, 1000, (1, SHORT), device=device)

    def said(count: int) -> float:
        before = wait(device)
        model.generate(ids, max_new_tokens=count, min_new_tokens=count, do_sample=False)
        return wait(device) - before

    said(8)
    return 56 / (said(64) - said(8))


def bench(
    kind: str, folder: Path, device: str, dtype: Dtype, shape: ModelShape, rate: float
) -> None:
    """One precision, a few lines."""
    release()
    before = time.perf_counter()
    own = load(folder, device, dtype, shape)
    said = [f"{kind} in {dtype}: loaded and compiled in {time.perf_counter() - before:.1f} s"]
    if device == "cuda":
        weights = own.weights  # type: ignore[attr-defined]
        said.append(f"{weights.bytes_a_step / 1e9:.2f} GB a step")
        said.append(f"limit {rate / weights.bytes_a_step:.0f} tokens/s")
    print(", ".join(said), flush=True)
    steps = STEPS if device == "cuda" else 8
    cases = [(1, SHORT), (8, SHORT), (32, SHORT)]
    if device == "cuda":
        cases.insert(1, (1, LONG))
    figures = [
        f"x{count} at {start}: {tokens_per_second(own, count, start, device, steps):.0f}"
        for count, start in cases
    ]
    print("  tokens/s in all:", "; ".join(figures), flush=True)
    prompts = [(SHORT, 0), (256, 0), (16, 2000)] + ([(LONG, 0)] if device == "cuda" else [])
    firsts = [
        f"{prompt} in{f' after {cached}' if cached else ''}: "
        f"{milliseconds_to_first(own, prompt, cached, device):.1f}"
        for prompt, cached in prompts
    ]
    print("  first token, ms:", "; ".join(firsts), flush=True)
    if device == "cuda":
        most = torch.cuda.max_memory_allocated() / GIB
        print(f"  allocated at most {most:.2f} GiB with {own.pages} pages", flush=True)
        ready, back = swap(own, folder, shape)
        print(f"  swap from pinned memory: ready in {ready:.2f} s", flush=True)
        again = tokens_per_second(back, 1, SHORT, device, steps)
        print(f"  after the swap x1 at {SHORT}: {again:.0f} tokens/s", flush=True)
        own = back
    own.close()


def under_a_cap(folder: Path, shape: ModelShape, cap: float) -> None:
    """Loads, reads 8,000 tokens and decodes with no more than `cap` GiB."""
    release()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(cap * GIB / total)
    own = load(folder, "cuda", "float16", shape)
    milliseconds_to_first(own, 8000, 0, "cuda")
    tokens_per_second(own, 1, SHORT, "cuda", 16)
    most = torch.cuda.max_memory_reserved() / GIB
    print(f"  under {cap} GiB: serves {CONTEXT} tokens, reserved at most {most:.2f}", flush=True)
    own.close()
    torch.cuda.set_per_process_memory_fraction(1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--shape", choices=tuple(SHAPES), help="7B; on a CPU 0.5B")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--dtype", choices=("float16", "bfloat16", "float32"))
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.device == "cpu":
        paths.be_quiet()
    given.dtype = given.dtype or ("float16" if given.device == "cuda" else "float32")
    given.shape = given.shape or ("7B" if given.device == "cuda" else "0.5B")
    shape = SHAPES[given.shape]
    rate = copy_rate() if given.device == "cuda" else 0.0
    if given.device == "cuda":
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}: copies "
              f"{rate / 1e12:.3f} TB/s read and written", flush=True)  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        for kind in given.kinds.split(","):
            folder = (given.folder or Path(scratch)) / kind
            if not folder.exists():
                write_checkpoint(folder, kind, shape, given.device)
            bench(kind, folder, given.device, given.dtype, shape, rate)
            if given.device == "cuda" and given.shape == "7B" and kind in ("fp16", "gptq-int4"):
                release()
                under_a_cap(folder, shape, 8.0 if kind == "gptq-int4" else 18.0)
            if given.device == "cpu":
                print(paths.HEAD, flush=True)
                paths.measure(folder, "cpu", TOLD, rounds=3)
            elif kind == "fp16":
                release()
                spoken = transformers_rate(folder, given.device)
                print(f"  transformers generate() in 16 bits: {spoken:.0f} tokens/s", flush=True)


if __name__ == "__main__":
    main()
