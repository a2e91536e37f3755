"""The models of another server in the place of checkpoints: nothing to download, nothing to load.

Knows no HTTP; what the server says of its models is given. A model that goes by the name of a
checkpoint whose files are here is counted with its tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from qwen_webui.checkpoints.choice import Choice, lookup, precision_named
from qwen_webui.checkpoints.library import Library
from qwen_webui.errors import CheckpointError, NotFound, SettingsError
from qwen_webui.memory import DEFAULT_CONTEXT
from qwen_webui.types import CheckpointSpec, ModelShape, Precision, Progress

# Of a list in a sentence.
MOST_NAMED = 10
# A model by name, and its context in tokens if the server tells it.
Told = tuple[str, int | None]


class ExternalLibrary(Library):
    """The models in `told`; `local` is asked for the files of those it knows by name."""

    def __init__(self, told: Sequence[Told], local: Library, max_context: int | None) -> None:
        """Raises SettingsError when a context is known neither to the server nor to the user."""
        if not told:
            raise SettingsError(
                "The server of --engine-url has no model now. Load one there, then start again.",
                param="engine_url",
            )
        known = local.all()
        self._specs = tuple(_spec(name, context, known, max_context) for name, context in told)

    def all(self) -> tuple[CheckpointSpec, ...]:
        """Every model, in the server's order."""
        return self._specs

    def get(self, name: str) -> CheckpointSpec:
        """By name. Raises NotFound with the names there are."""
        spec = lookup(name, self._specs)
        if spec is None:
            names = ", ".join(spec.name for spec in self._specs[:MOST_NAMED])
            raise NotFound(
                f"The server of --engine-url has no model called {name[:100]!r}. It has {names}.",
                param="name",
            )
        return spec

    def choose(self, model: str | None, quantize: Precision | None) -> Choice:
        """What `--model` and `--quantize` mean here. Raises NotFound, SettingsError."""
        if quantize is not None:
            raise SettingsError(
                "--quantize cannot be used with --engine-url: the other server decides in which "
                "precision it computes. Leave it out, and name one of its models with --model.",
                param="quantize",
            )
        return Choice(self.get(model.strip()) if model else self._specs[0])

    def add_folder(self, folder: Path) -> CheckpointSpec:
        """Raises CheckpointError: what is here is not computed here."""
        raise CheckpointError(
            "Another server computes (--engine-url), so no folder of this computer can be loaded. "
            "Start without --engine-url."
        )

    async def fetch(self, spec: CheckpointSpec, report: Callable[[Progress], None]) -> Path:
        """Where the tokenizer's files are, if they are here; nothing is fetched."""
        return Path(spec.folder or ".")


def _spec(
    name: str, context: int | None, known: Sequence[CheckpointSpec], wanted: int | None
) -> CheckpointSpec:
    """One model. What is not known of it is empty or 0; nothing is forecast from it."""
    here = lookup(name, known)
    length = context or wanted
    if length is None and here is not None:
        # Its server is one of these then, which has this context unless it was told otherwise.
        length = min(DEFAULT_CONTEXT, here.shape.context_length)
    if length is None:
        raise SettingsError(
            f"The server of --engine-url does not say how long a context {name!r} has. Give the "
            "number of tokens with --max-context.",
            param="max_context",
        )
    return CheckpointSpec(
        name=name,
        title=name,
        family="external",
        size=here.size if here else "",
        precision=here.precision if here else precision_named(name.lower()),
        licence=here.licence if here else "see the other server",
        weights_bytes=0,
        shape=ModelShape(0, 0, 0, 0, 0, 0, 0, False, length),
        folder=here.folder if here else None,
    )
