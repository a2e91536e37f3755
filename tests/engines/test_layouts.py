"""Checkpoints in the layouts of AutoGPTQ and AutoAWQ compute what their numbers mean, on the
reference path; decode/test_cpu_computer.py has ours.

The tests pack them (packing.py) and hold the loaded model against the dense weights that the
packed numbers stand for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import torch._dynamo

from qwen_webui.engines import kernels
from qwen_webui.engines.cancelling import Ticket
from qwen_webui.engines.paths import AnyModel, load_model
from qwen_webui.errors import CheckpointError
from qwen_webui.types import GenerationEvent, Precision
from tests.engines.asking import Reply, request
from tests.engines.checkpoints import (
    GROUP,
    old_gptq,
    plan,
    quantized_weights,
    random_weights,
    write_checkpoint,
)
from tests.engines.packing import gptq_tensors, round_to_nearest

# gptqmodel makes a folder for offloading that it never uses, and leaves it to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")

QUANTIZED: tuple[Precision, ...] = ("gptq-int8", "gptq-int4", "awq-int4")
TEXT = tuple(range(20, 120))


@contextmanager
def loaded(folder: Path, precision: Precision = "fp16") -> Iterator[AnyModel]:
    model = load_model(plan(folder, precision, engine_path="reference"), lambda _: None)
    yield model
    model.unload()


def score(folder: Path, precision: Precision = "fp16") -> list[float]:
    with loaded(folder, precision) as model:
        return model.score(TEXT, Ticket())


def greedy(folder: Path, precision: Precision = "fp16") -> tuple[int, ...]:
    said: list[GenerationEvent] = []
    with loaded(folder, precision) as model:
        model.generate(request(max_new_tokens=40), Ticket(), said.append)
    return Reply(tuple(said)).ids


def distance(one: list[float], other: list[float]) -> float:
    """Mean absolute difference of log-probabilities, nats."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


@pytest.fixture(autouse=True)
def no_compiler() -> Iterator[None]:
    """What the worker's environment says: nothing is compiled at run time."""
    with torch._dynamo.config.patch(disable=True):
        yield


@pytest.fixture
def exact_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain ones, which unpack and multiply; the fast ones round once more."""
    monkeypatch.setattr(kernels, "GPTQ8_ON_CPU", ("gptq_torch",))
    monkeypatch.setattr(kernels, "GPTQ4_ON_CPU", ("gptq_torch",))
    monkeypatch.setattr(kernels, "AWQ_ON_CPU", ("torch_awq",))


@pytest.mark.slow
@pytest.mark.usefixtures("exact_kernels")
@pytest.mark.parametrize("precision", QUANTIZED)
def test_packed_numbers_mean_the_same_tokens(
    tiny_folders: dict[str, Path], precision: Precision
) -> None:
    packed, dense = tiny_folders[precision], tiny_folders[f"dense-{precision}"]
    assert distance(score(packed, precision), score(dense)) < 0.05
    assert greedy(packed, precision) == greedy(dense)


@pytest.mark.parametrize(
    ("precision", "kernel"),
    [
        ("gptq-int8", "TorchInt8Linear"),
        ("gptq-int4", "TorchAtenLinear"),
        ("awq-int4", "TorchAtenAwqLinear"),
        ("fp16", "torch Linear"),
    ],
)
def test_the_fast_kernel_runs_and_is_close(
    tiny_folders: dict[str, Path], precision: Precision, kernel: str
) -> None:
    with loaded(tiny_folders[precision], precision) as model:
        assert model.info.kernel == kernel
        found = model.score(TEXT, Ticket())
    dense = tiny_folders["fp16" if precision == "fp16" else f"dense-{precision}"]
    assert distance(found, score(dense)) < 0.6


@pytest.mark.usefixtures("exact_kernels")
def test_zeros_are_stored_minus_one_unless_the_format_says_v2(tmp_path: Path) -> None:
    packed, dense = quantized_weights(
        random_weights(),
        lambda weight: round_to_nearest(weight, 4, GROUP, symmetric=True),
        lambda levels: gptq_tensors(levels, zeros_minus_one=False),
    )
    reference = write_checkpoint(tmp_path / "dense", dense)
    v2 = {**old_gptq(4), "checkpoint_format": "gptq_v2"}
    right = write_checkpoint(tmp_path / "v2", packed, quantization_config=v2)
    wrong = write_checkpoint(tmp_path / "v1", packed, quantization_config=old_gptq(4))
    assert distance(score(right, "gptq-int4"), score(reference)) < 0.05
    assert distance(score(wrong, "gptq-int4"), score(reference)) > 1


@pytest.mark.parametrize(
    "quantization",
    [{"quant_method": "bitsandbytes", "load_in_4bit": True}, {**old_gptq(4), "bits": 3}],
)
def test_other_quantisation_is_refused_with_a_sentence(
    tmp_path: Path, quantization: dict[str, object]
) -> None:
    folder = write_checkpoint(tmp_path / "x", random_weights(), quantization_config=quantization)
    with pytest.raises(CheckpointError, match="GPTQ in 4 or 8 bits and AWQ in 4 bits"):
        load_model(plan(folder), lambda _: None)
