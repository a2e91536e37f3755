"""The quantiser: GPTQ and AWQ by gptqmodel, on CUDA if torch has it, else on the CPU.

It checks nothing and cleans nothing: request.py and files.py do.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from qwen_webui.errors import GenerationFailed, OutOfMemory
from qwen_webui.quantize.request import Source, Target

log = logging.getLogger(__name__)
MAX_SHARD = "4GB"


class LayerReport:
    """gptqmodel calls this for each layer; every finished one is told once."""

    def __init__(self, layers: int, report: Callable[[str], None]) -> None:
        self._layers, self._report = layers, report
        self._told: set[int] = set()

    def layer_complete(self, layer_idx: int, submodule_finalized: bool) -> None:
        if layer_idx not in self._told:
            self._told.add(layer_idx)
            self._report(f"Layer {len(self._told)} of {self._layers} quantised")


def compress(
    source: Source,
    to: Target,
    group_size: int,
    calibration: Sequence[Sequence[int]],
    folder: Path,
    report: Callable[[str], None],
) -> None:
    """Write the quantised weights and gptqmodel's own config to `folder`."""
    weights, written = str(source.folder.absolute()), str(folder.absolute())
    # Read at import: with its own default gptqmodel refuses machines of one or two cores.
    os.environ.setdefault("GPTQMODEL_CPU_WORKERS", str(max(2, (os.cpu_count() or 2) // 2)))
    # gptqmodel keeps a folder `logs` wherever it is started, the user's working folder too.
    with _translated(), TemporaryDirectory() as scratch, chdir(scratch):
        from gptqmodel import BACKEND, GPTQModel

        model = GPTQModel.load(weights, _config(to, group_size), dtype=torch.float16)
        model.layer_callback = LayerReport(source.layers, report)
        # The torch packer for AWQ: the default one wants CUDA and a compiler.
        backend = BACKEND.AWQ_TORCH if to == "awq-int4" else BACKEND.AUTO
        model.quantize([_sample(ids) for ids in calibration], batch_size=1, backend=backend)
        report("Writing the weights")
        model.save(written, max_shard_size=MAX_SHARD)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            "The memory did not suffice to quantise this checkpoint; close other programs, "
            "or give fewer or shorter calibration samples (--samples)."
        ) from error
    except (RuntimeError, ValueError, TypeError, NotImplementedError, OSError) as error:
        log.exception("quantising failed")
        raise GenerationFailed(f"gptqmodel could not quantise the checkpoint: {error}") from error


def _config(to: Target, group_size: int) -> Any:
    from gptqmodel import AWQConfig, GPTQConfig

    if to == "awq-int4":
        # sym=False writes zero_point: true, as Qwen's own AWQ checkpoints have.
        return AWQConfig(bits=4, group_size=group_size, sym=False)
    # The default packer compiles C++ at its first use.
    bits = 8 if to == "gptq-int8" else 4
    return GPTQConfig(bits=bits, group_size=group_size, pack_impl="original")


def _sample(ids: Sequence[int]) -> dict[str, list[int]]:
    return {"input_ids": list(ids), "attention_mask": [1] * len(ids)}
