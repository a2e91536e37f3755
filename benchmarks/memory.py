"""Resident memory of the CPU path at its peak, beside what the forecast says.

    python benchmarks/memory.py [--shape 0.5B] [--context 8192] [--kinds fp16,gptq-int8,...]

Writes checkpoints with random weights and gives each to a process of its own, which does what the
worker does: load it, answer a prompt that fills the context, answer eight short ones at once. The
peaks are the kernel's own account (VmHWM, files that were read included), so Linux alone has them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from random_checkpoints import KINDS, SHAPES, write_checkpoint

from qwen_webui.checkpoints import describe_folder
from qwen_webui.engines.cancelling import Ticket
from qwen_webui.engines.paths import AnyModel, load_model
from qwen_webui.memory import MIB, forecast
from qwen_webui.types import GenerationRequest, LoadPlan, Message, Sampling

SAID = 8


def resident() -> tuple[int, int]:
    """MiB of this process now, and at its peak."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    told = {name: int(rest.split()[0]) for name, _, rest in (x.partition(":") for x in lines)
            if name in ("VmRSS", "VmHWM")}  # fmt: skip
    return told["VmRSS"] // 1024, told["VmHWM"] // 1024


def ask(model: AnyModel, prompt: tuple[int, ...] | None) -> None:
    """A short greedy answer to these tokens, or to a short question."""
    sampling = Sampling(0.0, 1.0, 0, 0.0, 1.0, 0.0, 0.0, max_new_tokens=SAID)
    messages = () if prompt else (Message("user", "Who are you?"),)
    request = GenerationRequest("bench", messages, sampling, prompt=prompt)
    model.generate(request, Ticket(), lambda _: None)


def measure(folder: Path, context: int) -> None:
    """One line of the table; for a process of its own."""
    libraries, _ = resident()
    spec = describe_folder(folder)
    model = load_model(LoadPlan(spec, str(folder), "cpu", None, context), lambda _: None)
    loaded, reading = resident()
    ask(model, tuple(100 + place % 4000 for place in range(context - SAID)))
    _, whole = resident()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ask(model, None), range(8)))
    _, most = resident()
    said = forecast(spec, context=context, device="cpu", free=0, total=0).needed // MIB
    print(f"| {folder.name} | {libraries} | {loaded} | {reading} | {whole} | {most} | {said} |")
    model.unload()


def main() -> None:
    """All kinds, one after the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shape", choices=tuple(SHAPES), default="0.5B")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        measure(given.one, given.context)
        return
    print("| MiB | libraries | loaded | peak of load | of the long prompt | of 8 | forecast |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for kind in given.kinds.split(","):
            folder = Path(scratch) / kind
            write_checkpoint(folder, kind, SHAPES[given.shape], "cpu")
            own = [sys.executable, __file__, "--one", str(folder), "--context", str(given.context)]
            subprocess.run(own, check=True)


if __name__ == "__main__":
    main()
