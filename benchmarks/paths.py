"""Both engine paths beside each other on the embedded checkpoint: text in, text out.

    python benchmarks/paths.py [--device cpu|cuda] [--tokens 200] [--rounds 3] [--kinds fp16,...]

decode.py --device cpu does the same for the shapes of 0.5B. For each precision: tokens/s of one
greedy answer on the reference path and on ours, in turns, and of 8 at once on ours; then the ratios
to one answer on the reference path, of each round by itself: medians (lowest-highest). Then the
milliseconds of an answer of one token to a long question, on both paths and, asked once more, on
ours, which then finds the question in its cache. In the process itself, without the pipe to the
web process. Needs torch, transformers and gptqmodel.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qwen_webui.checkpoints import describe_folder
from qwen_webui.engines.cancelling import Ticket
from qwen_webui.engines.paths import AnyModel, load_model
from qwen_webui.types import (
    PRECISIONS,
    EnginePath,
    GenerationEvent,
    GenerationRequest,
    LoadPlan,
    Message,
    Sampling,
    TextDelta,
)

CONTEXT = 2048
DEMO = Path(__file__).parent.parent / "qwen_webui" / "demo"
QUESTIONS = (
    "Who are you?",
    "你好，你是谁？",
    "The Marnel museum was founded in 1931 by Ada Kross. Who founded the Marnel museum?",
    "How do I load a real model?",
    "Tell me a story about the sea.",
    "What is 3 + 4?",
    "Why is the sky blue?",
    "List three fruits.",
)
# What makes a question long: some three hundred tokens.
LONG = " Count the boats of the harbour and say their names." * 24

HEAD = (
    "| precision | reference | ours | reference, 1 | ours, 1 | ours, 8 in all | 1 | 8 "
    "| first, reference | first, ours | again, ours |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def load(folder: Path, device: str, path: EnginePath) -> AnyModel:
    """One checkpoint on one path."""
    spec = describe_folder(folder)
    kind = "cuda" if device == "cuda" else "cpu"
    context = min(CONTEXT, spec.shape.context_length)
    return load_model(
        LoadPlan(spec, str(folder), kind, None, context, engine_path=path), lambda _: None
    )


def said(model: AnyModel, question: str, tokens: int) -> tuple[int, ...]:
    """The tokens of a greedy answer that does not end before `tokens`."""
    ends = tuple((end, -100.0) for end in model.info.stop_ids)
    sampling = Sampling(0.0, 1.0, 0, 0.0, 1.0, 0.0, 0.0, max_new_tokens=tokens, logit_bias=ends)
    events: list[GenerationEvent] = []
    request = GenerationRequest("bench", (Message("user", question),), sampling)
    model.generate(request, Ticket(), events.append)
    return tuple(token for e in events if isinstance(e, TextDelta) for token in e.token_ids)


def rate(model: AnyModel, questions: tuple[str, ...], tokens: int) -> float:
    """Tokens per second in all."""
    with ThreadPoolExecutor(len(questions)) as pool:
        began = time.perf_counter()
        answers = list(pool.map(lambda question: said(model, question, tokens), questions))
        return sum(map(len, answers)) / (time.perf_counter() - began)


def milliseconds(model: AnyModel, question: str) -> float:
    """To the first token."""
    began = time.perf_counter()
    said(model, question, 1)
    return (time.perf_counter() - began) * 1e3


def spread(found: list[float]) -> str:
    """The median (lowest-highest)."""
    return f"{statistics.median(found):.1f} ({min(found):.1f}-{max(found):.1f})"


def measure(folder: Path, device: str, tokens: int, rounds: int) -> None:
    """One line of the table."""
    reference, ours = load(folder, device, "reference"), load(folder, device, "ours")
    rates: list[tuple[float, ...]] = []
    waits: list[tuple[float, ...]] = []
    for question in QUESTIONS[:rounds]:
        one, own = (rate(model, (question,), tokens) for model in (reference, ours))
        rates.append((one, own, rate(ours, QUESTIONS, tokens)))
        long = question + LONG
        waits.append(tuple(milliseconds(model, long) for model in (reference, ours, ours)))
    figures = [f"{statistics.median(found):.1f}" for found in zip(*rates, strict=True)]
    figures += [spread([found[place] / found[0] for found in rates]) for place in (1, 2)]
    figures += [f"{statistics.median(found):.0f}" for found in zip(*waits, strict=True)]
    kernels = (reference.info.kernel, ours.info.kernel)
    print("|", " | ".join([folder.name, *kernels, *figures]), "|", flush=True)
    reference.unload()
    ours.unload()


def be_quiet() -> None:
    """As the worker is: nothing is compiled, and only errors are told."""
    os.environ["TORCHDYNAMO_DISABLE"] = "1"
    logging.disable(logging.WARNING)


def main() -> None:
    """All precisions, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", default=",".join(PRECISIONS))
    asked = parser.parse_args()
    be_quiet()
    print(HEAD, flush=True)
    for kind in asked.kinds.split(","):
        measure(DEMO / f"demo-{kind}", asked.device, asked.tokens, asked.rounds)


if __name__ == "__main__":
    main()
