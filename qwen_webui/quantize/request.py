"""What a quantisation is asked to do, and what is refused before anything is loaded.

Reads JSON files and sizes only; loads no torch.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qwen_webui.errors import CheckpointError, CheckpointMissing, DoesNotFit, SettingsError
from qwen_webui.extras import INSTALL, has_quantizers

Target = Literal["gptq-int8", "gptq-int4", "awq-int4"]
TARGETS: tuple[Target, ...] = ("gptq-int8", "gptq-int4", "awq-int4")
GROUP_SIZES = (32, 64, 128)


@dataclass(frozen=True)
class QuantizeRequest:
    """`source` and `out` are folders; `samples` calibration samples, `group_size` in weights."""

    source: Path | str
    to: Target
    out: Path
    calibration: Path | None = None
    samples: int = 128
    group_size: int = 128


@dataclass(frozen=True)
class Source:
    """A checkpoint folder that can be quantised, with its parsed config."""

    folder: Path
    config: Mapping[str, Any]

    @property
    def layers(self) -> int:
        return int(self.config["num_hidden_layers"])

    @property
    def context(self) -> int:
        return int(self.config.get("max_position_embeddings", 2048))


def checked(request: QuantizeRequest) -> Source:
    """The source, if the request can be carried out; else an error that says what to change."""
    if request.to not in TARGETS:
        raise SettingsError(
            f"--to is {request.to!r}; it takes one of {', '.join(TARGETS)}.", param="to"
        )
    if request.group_size not in GROUP_SIZES:
        raise SettingsError(
            f"--group-size is {request.group_size}; it takes one of "
            f"{', '.join(map(str, GROUP_SIZES))}.",
            param="group_size",
        )
    if request.samples < 1:
        raise SettingsError(
            f"--samples is {request.samples}; at least 1 is needed.", param="samples"
        )
    if not has_quantizers():
        raise SettingsError(f"gptqmodel quantises, and it is not installed: {INSTALL}.")
    if request.out.exists():
        raise SettingsError(
            f"{request.out} exists already; name a new folder with --out.", param="out"
        )
    source = _source(Path(request.source))
    _check_sizes(source, request.group_size)
    _check_disk(source, request.out)
    return source


def _source(folder: Path) -> Source:
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointMissing(
            f"{folder} has no config.json; give the folder of an unquantised checkpoint.",
            param="source",
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(
            f"config.json in {folder} is not JSON ({error}); copy the checkpoint again.",
            param="source",
        ) from error
    if config.get("architectures") != ["Qwen2ForCausalLM"]:
        raise CheckpointError(
            f"{folder} is of the architecture {config.get('architectures')}; only "
            "Qwen2ForCausalLM (Qwen2.5) can be quantised.",
            param="source",
        )
    if "quantization_config" in config:
        method = config["quantization_config"].get("quant_method", "unknown")
        raise CheckpointError(
            f"{folder} is quantised already ({method}); give the unquantised checkpoint.",
            param="source",
        )
    if not list(folder.glob("*.safetensors")):
        raise CheckpointMissing(
            f"{folder} has no *.safetensors file; pickled weights are not read.", param="source"
        )
    return Source(folder, config)


def _check_sizes(source: Source, group_size: int) -> None:
    for key in ("hidden_size", "intermediate_size"):
        size = int(source.config[key])
        if size % group_size:
            fitting = [str(one) for one in GROUP_SIZES if size % one == 0] or ["none"]
            raise CheckpointError(
                f"{key} is {size}, which --group-size {group_size} does not divide; "
                f"group sizes that do: {', '.join(fitting)}.",
                param="group_size",
            )


def _check_disk(source: Source, out: Path) -> None:
    """The quantiser keeps the layers it is done with on disk: room for the source is needed."""
    needed = sum(path.stat().st_size for path in source.folder.glob("*.safetensors"))
    place = next(parent for parent in out.absolute().parents if parent.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise DoesNotFit(
            f"Quantising needs {needed / 2**30:.1f} GiB on the disk of {out}, "
            f"{free / 2**30:.1f} GiB are free; name another place with --out.",
            param="out",
        )
