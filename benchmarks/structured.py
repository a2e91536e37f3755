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
LINE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "quantity": {"type": "integer", "minimum": 1},
        "price": {"type": "number", "minimum": 0},
    },
    "required": ["name", "quantity", "price"],
}
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
# Name, question, schema, and an answer to follow.
TASKS: tuple[tuple[str, str, dict[str, Any], Any], ...] = (
    (
        "registration",
        "Register Bob with the address bob@example.org.",
        {
            "type": "object",
            "properties": {
                "username": {"type": "string", "minLength": 3},
                "email": {"type": "string", "format": "email"},
                "password": {"type": "string", "minLength": 8},
            },
            "required": ["username", "email"],
        },
        {"username": "Bob Miller", "email": "bob@example.org", "password": "correct horse"},
    ),
    (
        "invoice",
        "Write an invoice for two lamps at 15.50 each.",
        {
            "type": "object",
            "properties": {
                "number": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"},
                "date": {"type": "string", "format": "date"},
                "lines": {"type": "array", "items": LINE, "minItems": 1},
                "paid": {"type": "boolean"},
            },
            "required": ["number", "date", "lines", "paid"],
        },
        {
            "number": "AB-1234",
            "date": "2026-03-14",
            "lines": [{"name": "lamp", "quantity": 2, "price": 15.5}] * 4,
            "paid": False,
        },
    ),
    (
        "event",
        "The meeting is on 5 May at nine in Oslo, with Ann and Li.",
        {
            "type": "object",
            "properties": {
                "title": {"type": "string"},
                "start": {"type": "string", "format": "date-time"},
                "place": {"type": "string"},
                "people": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
            },
            "required": ["title", "start", "people"],
        },
        {
            "title": 'Meeting about the garden, with 敏捷的棕色狐狸 and "quotes"',
            "start": "2026-05-05T09:00:00Z",
            "place": "Oslo",
            "people": ["Ann", "Li"],
        },
    ),
    (
        "choice of kind",
        "Is a lamp furniture, food or a tool?",
        {
            "type": "object",
            "properties": {"kind": {"enum": ["furniture", "food", "tool"]}},
            "required": ["kind"],
            "additionalProperties": False,
        },
        {"kind": "furniture"},
    ),
    (
        "any object",
        "Describe yourself.",
        {"type": "object"},
        {"name": "Ceten", "notes": {"of": [1, 2.5, None, True], "text": "A short text. " * 12}},
    ),
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
    for _, question, schema, _ in TASKS:
        constraint = constraint_of(schema)
        for seed in range(rounds):
            plain = Sampling(seed=seed, max_new_tokens=tokens)
            bound = Sampling(seed=seed, max_new_tokens=tokens, constraint=constraint)
            held += is_valid(constraint, ask(model, question, constraint, bound).text)
            free += is_valid(constraint, ask(model, question, constraint, plain).text)
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
        for name, question, schema, _ in TASKS:
            if name == "choice of kind":
                continue  # too short to time
            constraint = constraint_of(schema)
            limits = Sampling(seed=turn, max_new_tokens=tokens, logit_bias=never)
            bound = dataclasses.replace(limits, constraint=constraint)
            first = ask(model, question, constraint, bound)
            same = dataclasses.replace(limits, max_new_tokens=first.tokens)
            plain = ask(model, question, constraint, same)
            again = ask(model, question, constraint, bound)
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

    for _, _, schema, answer in TASKS:
        constraint = constraint_of(schema)
        follower = alphabet.matcher(grammar(constraint))
        timed("shortest whole answer", needed_tokens, grammar(constraint), alphabet)
        with grammars.lent(constraint) as compiled:
            matcher = compiled.matcher.deep_copy()
            guide = Guide(compiled, alphabet, "json_schema", stops, 10_000, torch.device("cpu"))
            for token in vocabulary.tokenize_str(json.dumps(answer, ensure_ascii=False)):
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
