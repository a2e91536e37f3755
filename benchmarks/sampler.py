"""Microseconds of one draw on a card: the sampler of its own beside the one in PyTorch operators.

    python benchmarks/sampler.py [--vocabulary 152064]

Random scores, 1, 8 and 32 rows. A draw is timed as the host asks for it, one after another; the
graph alone is what the card spends. Needs torch and Triton.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor

from qwen_webui.engines.decode.cuda.sampler import CardSampler
from qwen_webui.engines.decode.sampling import Drawing, Sampler
from qwen_webui.types import Sampling

ROWS, DRAWS = 32, 40
# Temperature, top_p, top_k, min_p, repetition, presence, frequency.
ASKED = {
    "Qwen's default": (0.7, 0.8, 20, 0.0, 1.05, 0.0, 0.0),
    "greedy, penalised": (0.0, 1.0, 0, 0.0, 1.05, 0.0, 0.0),
    "top_p 0.95": (1.0, 0.95, 0, 0.0, 1.0, 0.0, 0.0),
    "temperature alone": (1.0, 1.0, 0, 0.0, 1.0, 0.0, 0.0),
}


def drawings(count: int, asked: tuple[float, ...], vocabulary: int) -> list[Drawing]:
    """One for each of `count` rows."""
    temperature, top_p, top_k, *more = asked
    found = []
    for row in range(count):
        sampling = Sampling(temperature, top_p, int(top_k), *more, seed=row)
        own = Drawing.of(sampling, vocabulary, torch.device("cuda"))
        own.row = row
        found.append(own)
    return found


def asked_for(sampler: Sampler, logits: Tensor, batch: list[Drawing]) -> float:
    """Microseconds a draw, the host's part counted."""
    for each in batch:
        sampler.seat(each, [1, 2, 3])
    for _ in range(3):
        sampler.draw(logits, batch)
    torch.cuda.synchronize()
    before = time.perf_counter()
    for _ in range(DRAWS):
        sampler.draw(logits, batch)
    torch.cuda.synchronize()
    return (time.perf_counter() - before) / DRAWS * 1e6


def alone(graph: torch.cuda.CUDAGraph) -> float:
    """Microseconds that the card spends on one replay."""
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()
    for _ in range(DRAWS):
        graph.replay()
    ended.record()
    ended.synchronize()
    return began.elapsed_time(ended) / DRAWS * 1e3


def main() -> None:
    """A line for each way of asking."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--vocabulary", type=int, default=152064)
    vocabulary = parser.parse_args().vocabulary
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {vocabulary:,} tokens")
    logits = torch.randn(ROWS, vocabulary, device="cuda") * 4
    rows = torch.arange(ROWS, dtype=torch.int32, device="cuda")
    ours, plain = CardSampler(logits, rows), Sampler(ROWS, vocabulary, torch.device("cuda"))
    with torch.inference_mode():
        ours.capture((1, 8, 32))
        for name, asked in ASKED.items():
            told = []
            for count in (1, 8, 32):
                batch = drawings(count, asked, vocabulary)
                here = asked_for(ours, logits[:count], batch)
                there = asked_for(plain, logits[:count], drawings(count, asked, vocabulary))
                graph = alone(ours.graphs[count])
                told.append(f"{count} rows: {here:.0f} (graph {graph:.0f}), torch {there:.0f}")
            print(f"  {name}, us: " + "; ".join(told), flush=True)


if __name__ == "__main__":
    main()
