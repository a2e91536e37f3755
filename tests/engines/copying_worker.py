"""The engine worker with a CPU loader whose weights can be copied, as a card's can: what is kept in
the host's memory, and for how long, can be seen without a card. Run as a module, like the worker.

This module is the loader too; a computer that came from a copy says so in its kernel's name.
"""

from __future__ import annotations

import dataclasses

from transformers import PretrainedConfig

from qwen_webui.engines import worker
from qwen_webui.engines.decode import cpu, loading
from qwen_webui.engines.decode.host_cache import Stop
from qwen_webui.types import Dtype, LoadPlan

FROM_COPY = "from a copy"


class Kept:
    """Stands for weights: the plan to read them again, as large as they are."""

    def __init__(self, nbytes: int, plan: LoadPlan, dtype: Dtype) -> None:
        self.nbytes, self.plan, self.dtype = nbytes, plan, dtype

    def release(self) -> None:
        """Nothing was taken."""


class Copyable(cpu.CpuComputer):
    """Tells how large its weights are, and is copied whole even when it is told to stop."""

    made_of: tuple[LoadPlan, Dtype]

    @property
    def copy_bytes(self) -> int:
        return self.weights_bytes

    def saved(self, _stop: Stop) -> Kept:
        return Kept(self.weights_bytes, *self.made_of)


def load_computer(plan: LoadPlan, config: PretrainedConfig, dtype: Dtype) -> Copyable:
    """See loading.LOADERS."""
    found = cpu.load_computer(plan, config, dtype)
    found.__class__ = Copyable
    assert isinstance(found, Copyable)
    found.made_of = (plan, dtype)
    return found


def restore(copy: Kept, config: PretrainedConfig, max_context: int) -> Copyable:
    """See loading.LOADERS."""
    wanted = dataclasses.replace(copy.plan, max_context=max_context)
    found = load_computer(wanted, config, copy.dtype)
    found.kernel = FROM_COPY
    return found


if __name__ == "__main__":
    loading.LOADERS["cpu"] = "tests.engines.copying_worker"
    worker.main()
