"""What a constraint gives and costs: validity, tokens/s, and time for each token.

    python benchmarks/structured.py [--rounds 6] [--turns 3] [--tokens 200] [--tokenizer FOLDER]

Four things in one run. Validity: the fixed questions below, each with its schema, asked of every
embedded precision with and without the constraint (without it the model still sees the schema).
Speed: constrained and free answers of the same number of tokens, in turns. Time for each token on
a large vocabulary: the fixed answers below are followed token by token with that tokenizer and no
model. Ends: how long the search for a short valid end takes from each of those states.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from structured_questions import QUESTIONS

from qwen_webui.checkpoints.folders import describe_folder
from qwen_webui.engines.cancelling import Ticket
from qwen_webui.engines.compiled import Grammars
from qwen_webui.engines.constraint import Guide
from qwen_webui.engines.paths import AnyModel, load_model
from qwen_webui.errors import GenerationFailed
from qwen_webui.structured import grammar, instruction
from qwen_webui.structured.closing import QUICK, needed_tokens, shortest
from qwen_webui.structured.validating import check
from qwen_webui.types import (
    PRECISIONS,
    Constraint,
    Device,
    Dtype,
    Finished,
    GenerationEvent,
    GenerationRequest,
    LoadPlan,
    Message,
    Sampling,
    TextDelta,
)

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "qwen2.5"
HEAD = (
    "",
    "valid",
    "valid, free",
    "ms/token",
    "ms/token, free",
    "tax",
    "tax, processor time",
    "pairs",
)


@dataclass(frozen=True)
class Said:
    """One answer. `seconds` is the decode time, `busy` the computing thread's processor time."""

    text: str
    tokens: int
    seconds: float
    busy: float


def constraint_of(schema: dict[str, Any]) -> Constraint:
    return Constraint("json_schema", json.dumps(schema))


def loaded(precision: str, device: Device) -> AnyModel:
    folder = ROOT / "qwen_webui" / "demo" / f"demo-{precision}"
    spec = describe_folder(folder)
    dtype: Dtype = "float32" if device == "cpu" else "float16"
    return load_model(
        LoadPlan(spec, str(folder), device, dtype, spec.shape.context_length), lambda _: None
    )


def ask(model: AnyModel, question: str, constraint: Constraint, sampling: Sampling) -> Said:
    """The decode time is that of the tokens after the first, a token."""
    said: list[GenerationEvent] = []
    messages = (Message("system", instruction(constraint)), Message("user", question))
    start = time.thread_time()
    model.generate(GenerationRequest("benchmark", messages, sampling), Ticket(), said.append)
    busy = time.thread_time() - start
    last = said[-1]
    assert isinstance(last, Finished)
    text = "".join(event.text for event in said if isinstance(event, TextDelta))
    usage = last.usage
    return Said(text, usage.completion_tokens, usage.seconds - usage.seconds_to_first_token, busy)


def is_valid(constraint: Constraint, text: str) -> bool:
    try:
        check(constraint, text)
    except GenerationFailed:
        return False
    return True


def validity(model: AnyModel, rounds: int, tokens: int) -> tuple[int, int, int]:
    """Valid answers with and without the constraint, and how many were asked each way."""
    held = free = asked = 0
    for one in QUESTIONS:
        constraint = constraint_of(one.schema)
        for seed in range(rounds):
            plain = Sampling(seed=seed, max_new_tokens=tokens)
            bound = Sampling(seed=seed, max_new_tokens=tokens, constraint=constraint)
            held += is_valid(constraint, ask(model, one.text, constraint, bound).text)
            free += is_valid(constraint, ask(model, one.text, constraint, plain).text)
            asked += 1
    return held, free, asked


def speed(model: AnyModel, turns: int, tokens: int) -> tuple[float, float, float, float, int]:
    """Milliseconds a token with and without the constraint, their ratio and that of the processor
    time (which a busy machine does not falsify), each the median of so many pairs. Both of a pair
    write the same number of tokens: the free answer, asked for between two equal constrained
    ones, as many as those."""
    never = tuple((stop, -100.0) for stop in model.info.stop_ids)
    pairs: list[tuple[float, float, float, float]] = []
    for turn in range(turns + 1):
        for one in QUESTIONS:
            if one.name == "choice of kind":
                continue  # too short to time
            constraint = constraint_of(one.schema)
            limits = Sampling(seed=turn, max_new_tokens=tokens, logit_bias=never)
            bound = dataclasses.replace(limits, constraint=constraint)
            first = ask(model, one.text, constraint, bound)
            same = dataclasses.replace(limits, max_new_tokens=first.tokens)
            plain = ask(model, one.text, constraint, same)
            again = ask(model, one.text, constraint, bound)
            assert first.tokens == plain.tokens == again.tokens, "as many tokens both ways"
            if turn and first.tokens > 20:
                held = 500 * (first.seconds + again.seconds) / (first.tokens - 1)
                free = 1000 * plain.seconds / (first.tokens - 1)
                busy = (first.busy + again.busy) / 2 / plain.busy
                pairs.append((held, free, held / free, busy))
    held, free, ratio, busy = (statistics.median(values) for values in zip(*pairs, strict=True))
    return held, free, ratio, busy, len(pairs)


def followed(folder: Path) -> dict[str, list[float]]:
    """Milliseconds of each step of each token of the fixed answers, with that vocabulary."""
    grammars = Grammars(folder, 0)
    started = time.perf_counter()
    vocabulary, alphabet = grammars.vocabulary()
    found: dict[str, list[float]] = {"read the vocabulary": [since(started)]}
    scores = torch.zeros(1, vocabulary.vocab_size)
    stops = tuple(vocabulary.eos_tokens)

    def timed(name: str, work: Callable[..., Any], *given: Any, **named: Any) -> Any:
        start = time.perf_counter()
        value = work(*given, **named)
        found.setdefault(name, []).append(since(start))
        return value

    for one in QUESTIONS:
        constraint = constraint_of(one.schema)
        follower = alphabet.matcher(grammar(constraint))
        timed("shortest whole answer", needed_tokens, grammar(constraint), alphabet)
        with grammars.lent(constraint) as compiled:
            matcher = compiled.matcher.deep_copy()
            guide = Guide(compiled, alphabet, "json_schema", stops, 10_000, torch.device("cpu"))
            for token in vocabulary.tokenize_str(json.dumps(one.answer, ensure_ascii=False)):
                timed("mask", matcher.compute_bitmask)
                assert matcher.consume_token(token)
                guide.look()
                timed("mask laid over the scores", guide.masked, scores)
                assert timed("take, with an end that fits", guide.take, token)
                assert follower.consume_tokens(list(alphabet.symbols(token)))
                timed("end, first found", shortest, follower, alphabet, QUICK, effort=0)
                timed("end, made shorter", shortest, follower, alphabet, QUICK)
    return found


def since(start: float) -> float:
    return 1000 * (time.perf_counter() - start)


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--tokenizer", type=Path, default=SHARED if SHARED.is_dir() else None)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", nargs="*", choices=PRECISIONS, default=PRECISIONS)
    given = parser.parse_args()
    versions = (f"{n} {importlib.metadata.version(n)}" for n in ("torch", "llguidance"))
    card = f", {torch.cuda.get_device_name()}" if given.device == "cuda" else ""
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores{card}, Python "
        f"{platform.python_version()}, {', '.join(versions)}; {given.rounds} rounds, "
        f"at most {given.tokens} tokens\n"
    )
    for place, precision in enumerate(given.precision):
        model = loaded(precision, given.device)
        if not place:
            print(row(HEAD) + "\n" + row(["---"] * len(HEAD)), flush=True)
        held, free, asked = validity(model, given.rounds, given.tokens)
        bound, plain, ratio, busy, pairs = speed(model, given.turns, given.tokens)
        model.unload()
        counts = f"{held} of {asked}", f"{free} of {asked}"
        times = f"{bound:.2f}", f"{plain:.2f}", percent(ratio), percent(busy)
        print(row([f"demo-{precision}", *counts, *times, str(pairs)]), flush=True)
    print()
    if given.tokenizer is None:
        print("No --tokenizer given: nothing is timed on a large vocabulary.")
        return
    figures = followed(given.tokenizer)
    print(row(["ms", "p50", "p99", "most", "n"]) + "\n" + row(["---"] * 5))
    for name, found in figures.items():
        marks = (statistics.median(found), percentile(found), max(found))
        print(row([name, *(f"{value:.3f}" for value in marks), str(len(found))]))


def percentile(found: list[float]) -> float:
    """The 99th."""
    return sorted(found)[min(len(found) - 1, round(0.99 * (len(found) - 1)))]


if __name__ == "__main__":
    main()
