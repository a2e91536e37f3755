"""What is to be measured, as it was said on the command line, and which checkpoints that means."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qwen_webui.checkpoints import Library, choose
from qwen_webui.checkpoints.choice import lookup
from qwen_webui.errors import CheckpointError, InvalidRequest
from qwen_webui.settings import Settings
from qwen_webui.types import PRECISIONS, CheckpointSpec, Device, Precision

# As Qwen's published table has them; on a CPU as many as take a minute or two.
INPUTS: dict[Device, tuple[int, ...]] = {
    "cuda": (1, 6_144, 14_336, 30_720),
    "cpu": (1, 512, 1_536),
}
OUTPUTS: dict[Device, int] = {"cuda": 2_048, "cpu": 128}
MOST_TOKENS, MOST_REPEATS, MOST_AT_ONCE = 1_000_000, 1_000, 64


@dataclass(frozen=True)
class BenchQuestion:
    """`precisions` are of the model that the settings name, None all that the catalogue has of it;
    `also` are other checkpoints. `inputs` and `outputs` in tokens, None: the usual ones of the
    device. `out` None: in the data folder."""

    precisions: tuple[Precision, ...] | None
    also: tuple[str, ...] = ()
    inputs: tuple[int, ...] | None = None
    outputs: int | None = None
    repeat: int = 3
    concurrency: tuple[int, ...] = (1, 4, 8)
    out: Path | None = None
    as_json: bool = False

    def check(self) -> None:
        """Raise InvalidRequest for a number that cannot be."""
        for name, values, high in (
            ("inputs", self.inputs or (1,), MOST_TOKENS),
            ("outputs", (1 if self.outputs is None else self.outputs,), MOST_TOKENS),
            ("repeat", (self.repeat,), MOST_REPEATS),
            ("concurrency", self.concurrency, MOST_AT_ONCE),
        ):
            wrong = next((value for value in values if not 1 <= value <= high), None)
            if wrong is not None:
                raise InvalidRequest(f"--{name} has {wrong}; expected is 1 to {high}.", param=name)

    def lengths(self, device: Device) -> tuple[tuple[int, ...], int, tuple[str, ...]]:
        """Inputs, output, and what was shortened without having been asked for."""
        inputs = self.inputs or INPUTS[device]
        output = OUTPUTS[device] if self.outputs is None else self.outputs
        notes = []
        if device == "cpu" and self.inputs is None:
            notes.append(f"On a CPU the usual inputs are {_said(inputs)} tokens instead of "
                         f"{_said(INPUTS['cuda'])}; others with --inputs.")  # fmt: skip
        if device == "cpu" and self.outputs is None:
            notes.append(f"On a CPU the usual answers have {output} tokens instead of "
                         f"{OUTPUTS['cuda']}; others with --outputs.")  # fmt: skip
        return inputs, output, tuple(notes)

    def command(self, settings: Settings, device: Device) -> str:
        """The words that measure the same again."""
        inputs, output, _ = self.lengths(device)
        words = ["python", "app.py", "bench", "--model", settings.model or "demo"]
        words += ["--precisions", ",".join(self.precisions)] if self.precisions else []
        words += [word for name in self.also for word in ("--also", name)]
        words += ["--inputs", ",".join(map(str, inputs)), "--outputs", str(output)]
        words += ["--repeat", str(self.repeat)]
        words += ["--concurrency", ",".join(map(str, self.concurrency))]
        words += ["--device", device, "--dtype", settings.dtype]
        return shlex.join([*words, "--engine-path", settings.engine_path])

    def checkpoints(
        self, library: Library, model: str | None
    ) -> tuple[str, tuple[CheckpointSpec, ...]]:
        """What the report is called, and all that become rows. Raises CheckpointError, -Missing."""
        named = _known(library, model or "demo")
        rows = [*self._of_precisions(library, named)]
        rows += [_known(library, name) for name in self.also]
        return named.name, tuple(dict.fromkeys(rows))

    def _of_precisions(self, library: Library, named: CheckpointSpec) -> Iterator[CheckpointSpec]:
        base = named.name.removesuffix(f"-{named.precision}")
        for precision in self.precisions or PRECISIONS:
            if precision == named.precision:
                yield named
            elif (spec := lookup(f"{base}-{precision}", library.all())) is not None:
                yield spec
            elif self.precisions:
                raise CheckpointError(
                    f"The catalogue has no {precision} checkpoint of {named.title}. Leave it out "
                    f"with --precisions {named.precision}, and name checkpoints of yours with "
                    "--also.",
                    param="precisions",
                )


def _known(library: Library, name: str) -> CheckpointSpec:
    """By name, hub id or folder; a folder is made known to the library."""
    spec = choose(name, None, known=library.all()).spec
    if spec.family == "local" and spec.folder:
        return library.add_folder(Path(spec.folder))
    return spec


def _said(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
