"""What `bench` measures, of checkpoints with random weights in Qwen2.5's true shapes.

    python benchmarks/speed_7b.py [--shapes 7B|0.5B|tiny] [--precisions fp16,gptq-int8,...]
                                  [--inputs 1,6144,14336,30720] [--outputs 128] [--repeat 2]
                                  [--at-once 1,4,8] [--device cuda|cpu] [--out FOLDER]

Writes one checkpoint after the other as its authors' tools do, measures it through the worker
process, and deletes it; the files in FOLDER are whole after every line. Random weights compute as
real ones do, and never end an answer. `load` counts reading files that were just written. Needs
torch, transformers, tokenizers, and a CUDA machine with Triton for the figures that count; no web
library.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shlex
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from random_checkpoints import KINDS, SHAPES, write_checkpoint

from qwen_webui.engines.process import ProcessLoader
from qwen_webui.measure.speed.lengths import fitted
from qwen_webui.measure.speed.measurement import Plan, measure
from qwen_webui.measure.speed.report import SpeedReport
from qwen_webui.measure.speed.writing import console, write_report
from qwen_webui.measure.surroundings import Conditions, hardware, versions
from qwen_webui.memory import machine_memory
from qwen_webui.types import CheckpointSpec, ModelShape

# For a trial of the script itself; quantised layers have groups of 128 inputs.
TINY = ModelShape(2, 4, 2, 64, 256, 512, 8192, False, 2048)
STALL_SECONDS = 180.0
BITS = {"fp16": 16.0, "gptq-int8": 8.25, "gptq-int4": 4.25, "awq-int4": 4.25}


def spec_of(kind: str, name: str, shape: ModelShape, folder: Path) -> CheckpointSpec:
    """Bytes as the layout takes them: 16 bits, or fewer with scales and zeros a group of 128."""
    tables = shape.vocabulary * shape.hidden * (1 if shape.tied_embeddings else 2)
    size = 2 * tables + round((shape.parameters - tables) * BITS[kind] / 8)
    return CheckpointSpec(
        f"random-{name.lower()}-{kind}", f"random {name} {kind}", "local", name, kind,  # type: ignore[arg-type]
        "none", size, shape, None, str(folder),
    )  # fmt: skip


async def run(given: argparse.Namespace, scratch: Path) -> int:
    """Measure, and print the tables at the end; what is done stands if it is stopped."""
    machine = machine_memory(given.device)
    shape = TINY if given.shapes == "tiny" else SHAPES[given.shapes]
    kinds = given.precisions.split(",")
    specs = [spec_of(kind, given.shapes, shape, scratch / kind) for kind in kinds]
    lengths, clipped = fitted(numbers(given.inputs), given.outputs, shape.context_length)
    plan = Plan(specs, lengths, numbers(given.at_once), given.repeat, machine.device)
    words = shlex.join(["python", "benchmarks/speed_7b.py", *sys.argv[1:]])
    settings = {"weights": "random", "engine path": "auto", "repeat": str(given.repeat)}
    conditions = Conditions(
        datetime.now(UTC).isoformat(timespec="seconds"),
        *(words, hardware(machine), versions(), settings),
    )
    report = SpeedReport(f"random weights, {given.shapes}", conditions, None, clipped, (), False)

    def keep(now: SpeedReport) -> None:
        nonlocal report
        report = now
        write_report(report, given.out, f"speed-random-{given.shapes.lower()}")

    async def fetch(spec: CheckpointSpec) -> Path:
        for old in scratch.iterdir():
            shutil.rmtree(old)
        folder = Path(spec.folder or "")
        tell(f"{spec.name}: writing random weights")
        await asyncio.to_thread(write_checkpoint, folder, spec.precision, shape, machine.device)
        release()
        return folder

    loader = ProcessLoader(STALL_SECONDS)
    try:
        await measure(plan, report, loader, fetch, tell, keep)
    finally:
        await loader.close()
        print(console(report), flush=True)
    return 1 if report.failed else 0


def numbers(text: str) -> list[int]:
    """Of a list with commas."""
    return [int(part) for part in text.split(",")]


def tell(line: str) -> None:
    """With the time of day, so that a run that is cut off can be judged."""
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", file=sys.stderr, flush=True)


def release() -> None:
    """The weights were made on the card by this process; it needs none of it any more."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def main() -> None:
    """From the flags to the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shapes", choices=(*SHAPES, "tiny"), default="7B")
    parser.add_argument("--precisions", default=",".join(KINDS))
    parser.add_argument("--inputs", default="1,6144,14336,30720")
    parser.add_argument("--outputs", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--at-once", default="1,4,8")
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--out", type=Path, default=Path("speed"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, contextlib.suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(run(given, Path(scratch))))


if __name__ == "__main__":
    main()
