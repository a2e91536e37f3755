"""The engine worker by itself: every embedded precision on one device, through the real process.

    python benchmarks/worker.py [--device cuda|cpu] [--rounds 2] [--demo FOLDER]

For each precision: the kernel that runs, load seconds, tokens/s and first-token delay of a greedy
answer, how long a cancel takes to leave the engine idle, and whether the answers agree with those
of the unquantised checkpoint. Then the memory after each round of swaps, and what a killed worker
and an impossible prompt cost. Needs torch, transformers and gptqmodel; no web library.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import time
from contextlib import aclosing
from pathlib import Path

from qwen_webui.checkpoints import describe_folder
from qwen_webui.engines.base import Engine
from qwen_webui.engines.process import ProcessLoader
from qwen_webui.errors import WebUIError
from qwen_webui.types import (
    PRECISIONS,
    Finished,
    GenerationRequest,
    LoadPlan,
    Message,
    Progress,
    Sampling,
    TextDelta,
    Usage,
)

DEMO = Path(__file__).parent.parent / "qwen_webui" / "demo"
QUESTIONS = (
    "Who are you?",
    "你好，你是谁？",
    "The Marnel museum was founded in 1931 by Ada Kross. Who founded the Marnel museum?",
    "How do I load a real model?",
)


async def answer(engine: Engine, text: str, tokens: int = 200) -> tuple[str, Usage]:
    """A greedy answer to one question."""
    sampling = Sampling(temperature=0.0, repetition_penalty=1.0, max_new_tokens=tokens)
    request = GenerationRequest("bench", (Message("user", text),), sampling)
    said = ""
    async with aclosing(engine.stream(request)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                said += event.text
            elif isinstance(event, Finished):
                return said, event.usage
    raise AssertionError("a stream that is read to its end finishes")


async def seconds_to_idle(engine: Engine) -> float:
    """Cancel after the first token, then time until a request of one token is through."""
    request = GenerationRequest("cancelled", (Message("user", QUESTIONS[2]),), Sampling())
    async with aclosing(engine.stream(request)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    start = time.perf_counter()
    await answer(engine, "hi", tokens=1)
    return time.perf_counter() - start


def ignore(_: Progress) -> None:
    """Progress of a load is not shown here."""


async def measure(demo: Path, device: str, rounds: int) -> None:
    loader = ProcessLoader(stall_seconds=120)
    reference: list[str] = []
    print("| precision | kernel | dtype | load s | tokens/s | first token ms | cancel ms | agree |")
    print("|---|---|---|---|---|---|---|---|")
    for turn in range(rounds):
        for precision in PRECISIONS:
            folder = demo / f"demo-{precision}"
            spec = describe_folder(folder, f"demo-{precision}")
            plan = LoadPlan(spec, str(folder), device, None, 2048)  # type: ignore[arg-type]
            start = time.perf_counter()
            engine = await loader.load(plan, ignore)
            seconds = time.perf_counter() - start
            answers = [await answer(engine, question) for question in QUESTIONS]
            texts = [text for text, _ in answers]
            reference = reference or texts
            if turn == rounds - 1:
                last = answers[-1][1]
                same = sum(a == b for a, b in zip(texts, reference, strict=True))
                idle = 1000 * await seconds_to_idle(engine)
                print(
                    f"| {precision} | {engine.info.kernel} | {engine.info.dtype} | {seconds:.2f} | "
                    f"{last.tokens_per_second:.1f} | {1000 * last.seconds_to_first_token:.1f} | "
                    f"{idle:.0f} | {same}/{len(texts)} |"
                )
            await engine.close()
        use = await loader.memory()
        print(f"after round {turn + 1}: {use.used_by_engine / 2**20:.0f} MiB held by the worker")
    await faults(loader, demo, device)
    await loader.close()
    print(json.dumps(reference, ensure_ascii=False, indent=1))


async def faults(loader: ProcessLoader, demo: Path, device: str) -> None:
    """A killed worker and a prompt over the context cost the request and nothing else."""
    folder = demo / "demo-fp16"
    plan = LoadPlan(describe_folder(folder), str(folder), device, None, 2048)  # type: ignore[arg-type]
    engine = await loader.load(plan, ignore)
    try:
        await answer(engine, "word " * 4000)
    except WebUIError as error:
        print(f"over the context: {type(error).__name__}: {error.message}")
    start = time.perf_counter()
    try:
        async with aclosing(
            engine.stream(GenerationRequest("k", (Message("user", QUESTIONS[2]),), Sampling()))
        ) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    assert loader.pid, "a worker that answers has a process id"
                    start = time.perf_counter()
                    os.kill(loader.pid, signal.SIGKILL)
    except WebUIError as error:
        print(f"killed: {type(error).__name__} after {1000 * (time.perf_counter() - start):.0f} ms")
    await loader.restart()
    engine = await loader.load(plan, ignore)
    text, _ = await answer(engine, QUESTIONS[0])
    print(f"after the restart: {text!r}")
    await engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--demo", type=Path, default=DEMO)
    given = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    asyncio.run(measure(given.demo, given.device, given.rounds))


if __name__ == "__main__":
    main()
