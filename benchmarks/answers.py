"""Whole answers in the worker's own code on a card: prompts, draws, text and constraints included.

    python benchmarks/answers.py --folder DIR [--kinds gptq-int4,fp16]

DIR/KIND are checkpoints of Qwen2.5-7B's shape with random weights (written where they are missing).
Tokens/s of 1, 8 and 32 answers at once, greedy and with Qwen2.5's own sampling; the same for eight
of which one is JSON to a schema, the seven others counted; how long a running answer waited at most
while a prompt of 6,144 tokens entered beside it; the first token of such a prompt alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import paths
import torch
from random_checkpoints import SHAPES, write_checkpoint

from qwen_webui.checkpoints import describe_folder
from qwen_webui.engines.cancelling import Ticket
from qwen_webui.engines.paths import AnyModel, load_model
from qwen_webui.engines.serving import SWITCH_SECONDS
from qwen_webui.types import (
    Constraint,
    GenerationEvent,
    GenerationRequest,
    LoadPlan,
    Message,
    Sampling,
    TextDelta,
)

CONTEXT, LONG = 8192, 6144
# Eight answers so long that one that begins late counts little.
TOLD = {1: 256, 8: 256, 32: 128}
# A list as long as an answer here.
NAMES = json.dumps({
    "type": "array", "minItems": 16,
    "items": {
        "type": "object", "additionalProperties": False, "required": ["name", "age"],
        "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    },
})  # fmt: skip

Stamps = list[tuple[float, int]]


def ask(
    model: AnyModel, tokens: int, *, greedy: bool, schema: bool = False, prompt: int = 0
) -> Stamps:
    """When how many tokens came. A `prompt` is of so many random tokens."""
    sampling = Sampling(
        0.0 if greedy else 0.7, 0.8, 20, 0.0, 1.0 if greedy else 1.05, 0.0, 0.0,
        max_new_tokens=tokens, seed=1,
        constraint=Constraint("json_schema", NAMES) if schema else None,
    )  # fmt: skip
    ids = tuple(torch.randint(0, 1000, (prompt,)).tolist()) if prompt else None
    text = f"Tell me a story of {threading.get_ident()} sailors."
    messages = () if prompt else (Message("user", text),)
    found: Stamps = []

    def emit(event: GenerationEvent) -> None:
        if isinstance(event, TextDelta) and event.token_ids:
            found.append((time.perf_counter(), len(event.token_ids)))

    model.generate(GenerationRequest("bench", messages, sampling, prompt=ids), Ticket(), emit)
    return found


def rate(answers: list[Stamps], beside: list[Stamps] | None = None) -> float:
    """Tokens/s of all, while all run and those `beside` them too."""
    running = [*answers, *(beside or [])]
    start, end = max(one[0][0] for one in running), min(one[-1][0] for one in running)
    return sum(count for one in answers for at, count in one if start < at <= end) / (end - start)


def together(model: AnyModel, count: int, *, greedy: bool, schemas: int = 0) -> list[Stamps]:
    """Answers at once, the first `schemas` of them JSON."""
    told = TOLD[count]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(
            lambda place: ask(model, told, greedy=greedy, schema=place < schemas), range(count)
        ))  # fmt: skip


def beside_json(model: AnyModel) -> str:
    """Seven answers alone, then with a constrained one beside them, in turns."""
    alone, beside, constrained = [], [], []
    for _ in range(3):
        alone.append(rate(together(model, 8, greedy=False)) / 8)
        answers = together(model, 8, greedy=False, schemas=1)
        beside.append(rate(answers[1:], answers[:1]) / 7)
        constrained.append(rate(answers[:1]))
    each = [statistics.median(rates) for rates in (alone, beside, constrained)]
    ratios = [with_it / without for without, with_it in zip(alone, beside, strict=True)]
    return (
        f"of eight, tokens/s of each: {each[0]:.0f}; with one JSON among them: {each[1]:.0f} of "
        f"the others ({min(ratios):.2f} to {max(ratios):.2f} of it), {each[2]:.0f} of the JSON"
    )


def waits(model: AnyModel) -> str:
    """What a running answer and a long prompt cost each other."""
    running: list[Stamps] = []
    thread = threading.Thread(target=lambda: running.append(ask(model, 700, greedy=True)))
    thread.start()
    time.sleep(0.5)
    before = time.perf_counter()
    first = ask(model, 4, greedy=True, prompt=LONG)[0][0] - before
    thread.join()
    stamps = [at for at, _ in running[0]]
    gaps = sorted(((b - a) * 1e3 for a, b in pairwise(stamps)), reverse=True)
    alone = []
    for _ in range(3):
        before = time.perf_counter()
        alone.append((ask(model, 2, greedy=True, prompt=LONG)[0][0] - before) * 1e3)
    return (
        f"a running answer waited {', '.join(f'{gap:.1f}' for gap in gaps[:3])} ms at most "
        f"(median {statistics.median(gaps):.2f}) for {LONG} tokens, whose first token took "
        f"{first * 1e3:.0f} ms beside it, {statistics.median(alone):.0f} alone"
    )


def bench(folder: Path) -> None:
    """One precision."""
    spec = describe_folder(folder)
    before = time.perf_counter()
    plan = LoadPlan(spec, str(folder), "cuda", None, CONTEXT)
    model = load_model(plan, lambda _: None)
    torch.cuda.synchronize()
    took = time.perf_counter() - before
    print(f"{folder.name}: from files in {took:.2f} s, {model.info.kernel}", flush=True)
    # The first prompt after a load, of which no speed is known.
    print(f"  {waits(model)}", flush=True)
    print(f"  again: {waits(model)}", flush=True)
    for count in TOLD:
        rates = [rate(together(model, count, greedy=greedy)) for greedy in (True, False)]
        print(f"  x{count}: greedy {rates[0]:.0f}, sampled {rates[1]:.0f} tokens/s", flush=True)
    print(f"  {beside_json(model)}", flush=True)
    model.unload()


def main() -> None:
    """Each precision."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--kinds", default="gptq-int4,fp16")
    given = parser.parse_args()
    paths.be_quiet()
    sys.setswitchinterval(SWITCH_SECONDS)
    for kind in given.kinds.split(","):
        folder = given.folder / kind
        if not folder.exists():
            write_checkpoint(folder, kind, SHAPES["7B"], "cuda")
        bench(folder)


if __name__ == "__main__":
    main()
