"""Train the embedded checkpoint: `python -m demo_training.train --tokenizer FOLDER --out FOLDER`.

One run ends after `--seconds` of wall-clock time, start-up included, with the learning rate at zero
and a loadable checkpoint in `--out`. `--resume FOLDER` goes on from such a checkpoint with a new
warm-up: the optimiser's moments look back some twenty steps, less than the warm-up has, so they are
not kept. It judges nothing: that is `evaluate.py`.
"""

import argparse
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demo_training.batches import Batch, Batches, Limits
from demo_training.export import control_ids, export, load
from demo_training.model import Model, Packing, Shape
from demo_training.tokenizer import CONTEXT, ENDOFTEXT

LAST = 10  # steps that the loss of a run is the mean of


@dataclass(frozen=True)
class Plan:
    """What one run does; times in seconds, `tokens` a step. With `steps` it ends after so many,
    and the learning rate follows them instead of the clock."""

    tokenizer: Path
    out: Path
    resume: Path | None = None
    seconds: float = 540.0
    warm_up: float = 4.0
    peak: float = 2e-3
    tokens: int = 65_536
    workers: int = 14
    seed: int = 1
    steps: int | None = None
    device: str = "cuda"
    compiled: bool = True
    shape: Shape = field(default_factory=Shape)


def train(plan: Plan, report: Callable[[str], None] = print) -> float:
    """Run the plan and write the checkpoint; returns the mean loss of the last ten steps."""
    begun = time.monotonic()
    limits = Limits.of(plan.tokens, plan.shape.context)
    padding = control_ids(plan.tokenizer)[ENDOFTEXT]
    torch.manual_seed(plan.seed)
    with Batches(plan.tokenizer, limits, padding, plan.workers, plan.seed) as batches:
        model = (load(plan.resume) if plan.resume else Model(plan.shape)).to(plan.device)
        run = _Run(plan, model, report)
        loss = run.until(begun + plan.seconds, batches)
    export(model, plan.tokenizer, plan.out)
    return loss


class _Run:
    """The loop of one run: one batch a step, a line every five seconds."""

    def __init__(self, plan: Plan, model: Model, report: Callable[[str], None]) -> None:
        self._plan, self._model, self._report = plan, model, report
        self._cuda = plan.device == "cuda"
        matrices = [p for p in model.parameters() if p.ndim == 2]
        vectors = [p for p in model.parameters() if p.ndim != 2]
        groups: list[dict[str, Any]] = [
            {"params": matrices},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self._optimiser = torch.optim.AdamW(
            groups, lr=plan.peak, betas=(0.9, 0.95), weight_decay=0.1, fused=self._cuda
        )
        self._loss: Callable[..., Tensor] = model.loss
        if plan.compiled:
            self._loss = torch.compile(model.loss)

    def until(self, end: float, batches: Batches) -> float:
        plan = self._plan
        started = told = time.monotonic()
        since = step = 0
        total = torch.zeros((), device=plan.device)
        last: deque[Tensor] = deque(maxlen=LAST)
        while time.monotonic() < end and step != plan.steps:
            if step == 1:
                # Compilation is over: only now the schedule's clock starts.
                self._wait()
                started = told = time.monotonic()
                self._report(f"first step after {started - (end - plan.seconds):.1f} s")
            if plan.steps is None:
                elapsed, whole, warm_up = time.monotonic() - started, end - started, plan.warm_up
            else:  # what is counted in steps comes out the same however fast the machine is
                elapsed, whole, warm_up = step, plan.steps, plan.steps / 10
            self._set_rate(rate_at(elapsed, max(whole, 1e-9), warm_up))
            last.append(self._step(batches.draw(fresh_only=not self._cuda)))
            total += last[-1]
            step, since = step + 1, since + 1
            if time.monotonic() - told >= 5 or step == plan.steps:
                mean = total.item() / since
                now = time.monotonic()
                self._report(
                    f"{now - started:6.1f} s  step {step:6d}  loss {mean:.4f}  "
                    f"{since * plan.tokens / (now - told) / 1e6:.2f} M tokens/s  "
                    f"repeated {batches.repeated}"
                )
                told, since = now, 0
                total.zero_()
        return torch.stack(tuple(last)).mean().item() if last else math.nan

    def _step(self, batch: Batch) -> Tensor:
        tokens, positions, starts, where, targets = (
            _moved(part, self._plan.device)
            for part in (batch.tokens, batch.positions, batch.starts, batch.where, batch.targets)
        )
        packing = Packing(starts, positions, self._plan.shape.context)
        with torch.autocast(self._plan.device, torch.bfloat16, enabled=self._cuda):
            loss = self._loss(tokens, packing, where, targets)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return loss.detach()

    def _set_rate(self, share: float) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = self._plan.peak * share

    def _wait(self) -> None:
        if self._cuda:
            torch.cuda.synchronize()


def rate_at(elapsed: float, whole: float, warm_up: float) -> float:
    """Share of the peak learning rate: linear warm-up, then a cosine to zero at `whole`; all in
    seconds, or all in steps."""
    warm_up = min(warm_up, whole / 10)
    if elapsed < warm_up:
        return elapsed / warm_up
    return 0.5 * (1 + math.cos(math.pi * min((elapsed - warm_up) / (whole - warm_up), 1.0)))


def _moved(array: object, device: str) -> Tensor:
    tensor = torch.as_tensor(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device == "cuda" else tensor


def main() -> None:
    """Train on CUDA in one run of at most `--seconds`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--tokenizer", type=Path, required=True, help="a tokenizer folder")
    parser.add_argument("--out", type=Path, required=True, help="where the checkpoint is written")
    parser.add_argument("--resume", type=Path, help="go on from this checkpoint")
    parser.add_argument("--seconds", type=float, default=Plan.seconds)
    parser.add_argument("--peak", type=float, default=Plan.peak, help="highest learning rate")
    parser.add_argument("--tokens", type=int, default=Plan.tokens, help="tokens a step")
    parser.add_argument("--workers", type=int, default=Plan.workers)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--layers", type=int, default=Shape.layers)
    parser.add_argument("--mlp", type=int, default=Shape.mlp)
    given = vars(parser.parse_args())
    layers, mlp = given.pop("layers"), given.pop("mlp")
    tokenizer = given["tokenizer"]
    shape = Shape(vocabulary=_entries(tokenizer), layers=layers, mlp=mlp, context=CONTEXT)
    torch.set_float32_matmul_precision("high")
    loss = train(Plan(**given, shape=shape), lambda line: print(line, flush=True))
    print(f"last mean loss {loss:.4f}")


def _entries(tokenizer: Path) -> int:
    from tokenizers import Tokenizer

    return int(Tokenizer.from_file(str(tokenizer / "tokenizer.json")).get_vocab_size())


if __name__ == "__main__":
    main()
