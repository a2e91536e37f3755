"""Memory of our path at its peak, beside what the forecast says.

    python benchmarks/memory.py [--device cpu|cuda] [--shape 0.5B|7B] [--context 8192]
                                [--kinds fp16,gptq-int8,...]

Writes checkpoints with random weights and gives each to a process of its own, which does what the
worker does: load it, answer a prompt that fills the context, answer eight short ones at once. On a
CPU the peaks are the kernel's own account (VmHWM, files that were read included), so Linux alone
has them. On a card the cache is held to the one context that the forecast speaks of, and a peak is
what torch reserved at most, with all else that the driver counts since before the process used it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from random_checkpoints import KINDS, SHAPES, write_checkpoint

from qwen_webui.cards import list_cards
from qwen_webui.checkpoints import describe_folder
from qwen_webui.engines.cancelling import Ticket
from qwen_webui.engines.paths import AnyModel, load_model
from qwen_webui.memory import MIB, forecast
from qwen_webui.types import CheckpointSpec, Device, GenerationRequest, LoadPlan, Message, Sampling

SAID = 8
CPU_HEAD = "| MiB | libraries | loaded | peak of load | of the long prompt | of 8 | forecast |"
CARD_HEAD = "| MiB | context | loaded | peak of load | of the long prompt | of 8 | forecast | off |"


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


def ask_all(model: AnyModel, context: int) -> None:
    """A prompt that fills the context."""
    ask(model, tuple(100 + place % 4000 for place in range(context - SAID)))


def ask_eight(model: AnyModel) -> None:
    """Short ones at once."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ask(model, None), range(8)))


def plan_of(folder: Path, spec: CheckpointSpec, device: Device, context: int) -> LoadPlan:
    """Stretched by YaRN where the context is more than the model's own."""
    stretched = max(1.0, context / spec.shape.context_length)
    return LoadPlan(spec, str(folder), device, None, context, yarn_factor=stretched)


def on_cpu(folder: Path, context: int) -> None:
    """One line of the table; for a process of its own."""
    libraries, _ = resident()
    spec = describe_folder(folder)
    model = load_model(plan_of(folder, spec, "cpu", context), lambda _: None)
    loaded, reading = resident()
    ask_all(model, context)
    _, whole = resident()
    ask_eight(model)
    _, most = resident()
    said = forecast(spec, context=context, device="cpu", free=0, total=0).needed // MIB
    print(f"| {folder.name} | {libraries} | {loaded} | {reading} | {whole} | {most} | {said} |")
    model.unload()


def on_card(folder: Path, context: int) -> None:
    """One line of the table; for a process of its own."""
    before = list_cards()[0].free
    import torch

    from qwen_webui.engines.decode.cuda import loading

    loading.SHARE, loading.PIECE = 0.0, loading.SMALL_PIECE

    def peak() -> int:
        others = before - list_cards()[0].free - torch.cuda.memory_reserved()
        return (torch.cuda.max_memory_reserved() + others) // MIB

    spec = describe_folder(folder)
    model = load_model(plan_of(folder, spec, "cuda", context), lambda _: None)
    loaded = (before - list_cards()[0].free) // MIB
    reading = peak()
    torch.cuda.reset_peak_memory_stats()
    ask_all(model, context)
    whole = peak()
    ask_eight(model)
    most = max(reading, peak())
    said = forecast(spec, context=context, device="cuda", free=0, total=0).needed // MIB
    print(
        f"| {folder.name} | {context} | {loaded} | {reading} | {whole} | {peak()} | {said} "
        f"| {100 * (said / most - 1):+.1f} % |"
    )
    model.unload()


def main() -> None:
    """All kinds, one after the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--shape", choices=tuple(SHAPES), help="0.5B; on a card 7B")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        {"cpu": on_cpu, "cuda": on_card}[given.device](given.one, given.context)
        return
    shape = given.shape or ("7B" if given.device == "cuda" else "0.5B")
    head = CARD_HEAD if given.device == "cuda" else CPU_HEAD
    print(head, "|---" * (head.count("|") - 1) + "|", sep="\n", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for kind in given.kinds.split(","):
            folder = (given.folder or Path(scratch)) / kind
            if not folder.exists():
                write_checkpoint(folder, kind, SHAPES[shape], given.device)
            own = [sys.executable, __file__, "--device", given.device, "--one", str(folder)]
            subprocess.run([*own, "--context", str(given.context)], check=True)


if __name__ == "__main__":
    main()
