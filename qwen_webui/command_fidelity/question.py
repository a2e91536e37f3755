"""What is to be measured, as it was said on the command line, and which checkpoints that means."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qwen_webui.checkpoints import Library, choose
from qwen_webui.checkpoints.choice import lookup
from qwen_webui.errors import CheckpointError, InvalidRequest
from qwen_webui.settings import Settings
from qwen_webui.types import (
    MOST_IDS,
    MOST_NUMBERS,
    MOST_POSITIONS,
    PRECISIONS,
    CheckpointSpec,
    Precision,
)


@dataclass(frozen=True)
class FidelityQuestion:
    """`precisions` are of the model that the settings name, None all that the catalogue has of it;
    `also` are other checkpoints of it. `text` None: the program's own. `out` None: in the data
    folder."""

    precisions: tuple[Precision, ...] | None
    also: tuple[str, ...] = ()
    text: Path | None = None
    tokens: int = 0
    tasks: int = 0
    top: int = 0
    out: Path | None = None
    as_json: bool = False

    def check(self) -> None:
        """Raise InvalidRequest for a number that cannot be."""
        most = min(MOST_IDS, MOST_NUMBERS // MOST_POSITIONS)
        for name, value, low, high in (
            ("tokens", self.tokens, 1, 1_000_000),
            ("tasks", self.tasks, 0, 100_000),
            ("top", self.top, 1, most),
        ):
            if not low <= value <= high:
                raise InvalidRequest(
                    f"--{name} is {value}; expected is {low} to {high}.", param=name
                )

    def command(self, settings: Settings) -> str:
        """The words that measure the same again."""
        words = ["python", "app.py", "fidelity", "--model", settings.model or "demo"]
        words += ["--precisions", *self.precisions] if self.precisions else []
        words += [word for name in self.also for word in ("--also", name)]
        words += ["--text", str(self.text)] if self.text else []
        words += ["--tokens", str(self.tokens), "--tasks", str(self.tasks), "--top", str(self.top)]
        words += ["--device", settings.device, "--dtype", settings.dtype]
        return shlex.join([*words, "--engine-path", settings.engine_path])

    def checkpoints(
        self, library: Library, model: str | None
    ) -> tuple[CheckpointSpec, tuple[CheckpointSpec, ...]]:
        """The unquantised one, and all that become rows. Raises CheckpointError, -Missing."""
        reference = _known(library, model or "demo")
        if reference.precision != "fp16":
            raise CheckpointError(
                f"{reference.title} is quantised; --model names the unquantised checkpoint, with "
                "which the others are compared. Name that, and choose with --precisions or --also.",
                param="model",
            )
        rows = [*self._of_precisions(library, reference)]
        rows += [_known(library, name) for name in self.also]
        return reference, tuple(dict.fromkeys(rows))

    def _of_precisions(
        self, library: Library, reference: CheckpointSpec
    ) -> Iterator[CheckpointSpec]:
        base = reference.name.removesuffix("-fp16")
        for precision in self.precisions or PRECISIONS:
            if precision == "fp16":
                yield reference
            elif (spec := lookup(f"{base}-{precision}", library.all())) is not None:
                yield spec
            elif self.precisions:
                raise CheckpointError(
                    f"The catalogue has no {precision} checkpoint of {reference.title}. Leave it "
                    "out with --precisions fp16, and name checkpoints of yours with --also.",
                    param="precisions",
                )


def _known(library: Library, name: str) -> CheckpointSpec:
    """By name, hub id or folder; a folder is made known to the library."""
    spec = choose(name, None, known=library.all()).spec
    if spec.family == "local" and spec.folder:
        return library.add_folder(Path(spec.folder))
    return spec
