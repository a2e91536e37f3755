"""What `--model` and `--quantize` mean together: one checkpoint, and what to say about it.

An explicit choice is never silently replaced: where the two name different things, either the
official repository of that precision is meant and the notes say so, or it is an error that names
both. Reads folders, downloads nothing.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qwen_webui.checkpoints.catalogue import SIZES, TITLES, licence_notice, qwen_spec
from qwen_webui.checkpoints.folders import describe_folder
from qwen_webui.errors import CheckpointError, CheckpointMissing
from qwen_webui.types import CheckpointSpec, ModelShape, Precision

DEFAULT_SIZE = "7B"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_BASE = re.compile(r"Qwen/Qwen2\.5-(\d+(?:\.\d+)?B)", re.IGNORECASE)
# Nothing is forecast from it; the context is what every Qwen2.5 has at least.
_UNKNOWN_SHAPE = ModelShape(0, 0, 0, 0, 0, 0, 0, False, 32_768)


@dataclass(frozen=True)
class Choice:
    """The checkpoint that was meant, and sentences the user should see about it."""

    spec: CheckpointSpec
    notes: tuple[str, ...] = ()


def choose(
    model: str | None, quantize: Precision | None, *, known: Sequence[CheckpointSpec]
) -> Choice:
    """The checkpoint for `--model` and `--quantize`; `known` is the catalogue with what is added.

    Raises CheckpointMissing for an unknown name and CheckpointError for a contradiction.
    """
    choice = _chosen(model.strip() if model else None, quantize, known)
    notice = None if choice.spec.folder else licence_notice(choice.spec)
    return replace(choice, notes=(*choice.notes, notice)) if notice else choice


def _chosen(
    model: str | None, quantize: Precision | None, known: Sequence[CheckpointSpec]
) -> Choice:
    if not model and quantize:
        size = next(size for size in SIZES if size.name == DEFAULT_SIZE)
        return Choice(find(qwen_spec(size, quantize).name, known))
    if not model or model.lower() == "demo":
        return Choice(find(f"demo-{quantize or 'fp16'}", known))
    path = Path(model).expanduser()
    if path.is_dir() or _looks_like_path(model):
        return Choice(named_apart(_agreeing(describe_folder(path), quantize, "The folder"), known))
    spec = lookup(model, known)
    if spec is not None:
        return _in_precision(spec, model, quantize, known)
    choice = _of_hub_id(model, quantize, known)
    if choice is not None:
        return choice
    raise CheckpointMissing(unknown_name(model, known))


def _looks_like_path(model: str) -> bool:
    return model.startswith(("/", "./", "../", "~", ".\\")) or "\\" in model or model in (".", "..")


def lookup(name: str, known: Sequence[CheckpointSpec]) -> CheckpointSpec | None:
    """By name or hub id, in any case."""
    wanted = name.lower()
    for spec in known:
        if wanted == spec.name.lower() or (spec.hub_id and wanted == spec.hub_id.lower()):
            return spec
    return None


def named_apart(spec: CheckpointSpec, known: Sequence[CheckpointSpec]) -> CheckpointSpec:
    """A folder's spec under a name that no other checkpoint has; unchanged if it is known."""
    for number in range(1, len(known) + 2):
        name = spec.name if number == 1 else f"{spec.name} (folder {number})"
        other = lookup(name, known)
        if other is None or other.folder == spec.folder:
            return replace(spec, name=name)
    raise AssertionError("one of n + 1 names is free among n")


def find(name: str, known: Sequence[CheckpointSpec]) -> CheckpointSpec:
    """As `lookup`; raises CheckpointMissing."""
    spec = lookup(name, known)
    if spec is None and name.startswith("demo-"):
        raise CheckpointMissing(
            f"The embedded checkpoint {name} is missing here or damaged. Install the "
            "program again, or choose a checkpoint with --model or --quantize."
        )
    if spec is None:
        raise CheckpointMissing(unknown_name(name, known))
    return spec


def unknown_name(name: str, known: Sequence[CheckpointSpec]) -> str:
    """The sentence for a name nobody knows, with the nearest ones."""
    near = difflib.get_close_matches(
        name[:100].lower(), [spec.name for spec in known], n=3, cutoff=0.5
    )
    meant = f"Did you mean {' or '.join(near)}?" if near else "`qwen-webui models` lists them."
    return (
        f"There is no checkpoint called {name[:100]!r}. Expected is a catalogue name, a hub id "
        f"(owner/name) or a folder. {meant}"
    )


def _in_precision(
    spec: CheckpointSpec,
    given: str,
    quantize: Precision | None,
    known: Sequence[CheckpointSpec],
) -> Choice:
    """A catalogue entry: as it is, or the same model in the precision that was asked for."""
    if quantize in (None, spec.precision):
        return Choice(spec)
    if spec.family not in ("qwen2.5", "demo") or spec.precision != "fp16":
        return Choice(_agreeing(spec, quantize, given))
    name = f"demo-{quantize}" if spec.family == "demo" else f"{spec.name}-{quantize}"
    quantised = find(name, known)
    label = quantised.hub_id or quantised.name
    return Choice(quantised, (f"{given} in {quantize} is {label}; using that.",))


def _agreeing(spec: CheckpointSpec, quantize: Precision | None, what: str) -> CheckpointSpec:
    if quantize not in (None, spec.precision):
        raise CheckpointError(
            f"{what} holds {spec.precision} weights, but --quantize says {quantize}. Leave "
            f"--quantize out to use {spec.precision}, or choose a checkpoint in {quantize} "
            "(`qwen-webui quantize` makes one from unquantised weights)."
        )
    return spec


def of_repository(hub_id: str) -> CheckpointSpec | None:
    """What a hub id outside the catalogue names, as far as it says itself; None for no hub id.

    A base model of Qwen2.5 has its size's shape; of any other repository it is unknown until it
    is downloaded.
    """
    if not _HUB_ID.fullmatch(hub_id):
        return None
    base = _BASE.fullmatch(hub_id)
    size = next((s for s in SIZES if base and s.name == base.group(1).upper()), None)
    if size is not None:
        official = qwen_spec(size, "fp16")
        base_id = f"Qwen/Qwen2.5-{size.name}"
        title = f"Qwen2.5-{size.name} {TITLES['fp16']}"
        return replace(official, name=base_id, title=title, hub_id=base_id)
    return CheckpointSpec(
        name=hub_id,
        title=hub_id,
        family="local",
        size="",
        precision=precision_named(hub_id.lower()),
        licence="see its LICENSE file",
        weights_bytes=0,
        shape=_UNKNOWN_SHAPE,
        hub_id=hub_id,
    )


def precision_named(hub_id: str) -> Precision:
    """What a name in small letters says of the precision; fp16 where it says nothing."""
    if "awq" in hub_id:
        return "awq-int4"
    if "gptq" in hub_id:
        return "gptq-int8" if re.search(r"int8|8bit", hub_id) else "gptq-int4"
    return "fp16"


def _of_hub_id(
    given: str, quantize: Precision | None, known: Sequence[CheckpointSpec]
) -> Choice | None:
    """A repository outside the catalogue, or the official one that is meant by a base model's."""
    spec = of_repository(given)
    if spec is None:
        return None
    if spec.family != "qwen2.5":
        note = f"{given} is not in the catalogue; its size is known once it is downloaded."
        return Choice(_agreeing(spec, quantize, given), (note,))
    if quantize in (None, "fp16"):
        note = f"{given} is the base model, not trained to chat; {given}-Instruct is."
        return Choice(spec, (note,))
    official = find(f"qwen2.5-{spec.size.lower()}-instruct-{quantize}", known)
    return Choice(official, (f"{given} has no quantised files; using {official.hub_id}.",))
