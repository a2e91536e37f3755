"""Quantised checkpoints that nothing here multiplies packed: held in full, and answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from qwen_webui.engines import dense, paths
from qwen_webui.engines.cancelling import Ticket
from qwen_webui.engines.decode import cpu
from qwen_webui.engines.decode.source import NotForThisPath
from qwen_webui.engines.paths import load_model
from qwen_webui.engines.transformers import LoadedModel
from qwen_webui.errors import CheckpointError
from qwen_webui.types import GenerationEvent, MemoryUse
from tests.engines.asking import Reply, request
from tests.engines.checkpoints import (
    HIDDEN,
    INNER,
    old_awq,
    old_gptq,
    plan,
    quantized_weights,
    random_weights,
    write_checkpoint,
    write_gptq,
)
from tests.engines.packing import Levels, awq_tensors, gptq_tensors, round_to_nearest

TEXT = tuple(range(20, 120))


@pytest.fixture(autouse=True)
def nothing_multiplies_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No gptqmodel, and kernels of ours that cannot be built."""

    def broken(*_: object) -> None:
        raise NotForThisPath("its kernels do not work here (PTX assembly aborted)")

    monkeypatch.setattr(paths, "has_quantizers", lambda: False)
    monkeypatch.setattr("qwen_webui.engines.kernels.has_quantizers", lambda: False)
    monkeypatch.setattr(cpu, "load_computer", broken)


def scores_of(folder: Path) -> tuple[list[float], LoadedModel]:
    model = load_model(plan(folder), lambda _: None)
    assert isinstance(model, LoadedModel)
    return model.score(TEXT, Ticket()), model


def same(folder: Path, meant: Path) -> None:
    """Both compute alike, and the packed one says what it is."""
    found, model = scores_of(folder)
    wanted, other = scores_of(meant)
    assert found == pytest.approx(wanted, abs=1e-3)
    (note,) = [note for note in model.info.notes if "held in full" in note]
    assert "PTX assembly aborted" in note and "pip install" in note
    assert model.info.kernel == "torch Linear"
    said: list[GenerationEvent] = []
    model.generate(request(max_new_tokens=5), Ticket(), said.append)
    assert len(Reply(tuple(said)).ids) == 5
    model.unload()
    other.unload()


@pytest.mark.parametrize("kind", ["gptq", "awq"])
@pytest.mark.parametrize("group", [32, 64, 128, None], ids=str)
def test_groups_of_every_size(tmp_path: Path, kind: str, group: int | None) -> None:
    said: dict[str, Any] = old_gptq(4) if kind == "gptq" else old_awq()
    said["group_size"] = group or -1
    packed, meant = quantized_weights(
        random_weights(),
        lambda weight: round_to_nearest(
            weight, 4, group or weight.shape[1], symmetric=kind == "gptq"
        ),
        lambda levels: (
            gptq_tensors(levels, zeros_minus_one=True) if kind == "gptq" else awq_tensors(levels)
        ),
    )
    same(
        write_checkpoint(tmp_path / "packed", packed, quantization_config=said),
        write_checkpoint(tmp_path / "meant", meant),
    )


@pytest.mark.parametrize("bits", [4, 8])
def test_groups_in_the_order_of_activations(tmp_path: Path, bits: int) -> None:
    orders = {
        width: torch.randperm(width, generator=torch.Generator().manual_seed(width))
        for width in (HIDDEN, INNER)
    }

    def moved(levels: Levels) -> dict[str, Tensor]:
        order = orders[levels.values.shape[1]]
        columns = Levels(
            levels.values[:, order], levels.scales, levels.zeros, levels.bits, levels.group
        )
        groups = (order // levels.group).to(torch.int32)
        return {**gptq_tensors(columns, zeros_minus_one=True), "g_idx": groups}

    packed, meant = quantized_weights(
        random_weights(), lambda weight: round_to_nearest(weight, bits, 64, symmetric=True), moved
    )
    for name, weight in meant.items():
        if "_proj.weight" in name:
            meant[name] = weight[:, orders[weight.shape[1]]].contiguous()
    ordered = {**old_gptq(bits), "desc_act": True, "group_size": 64}
    same(
        write_checkpoint(tmp_path / "packed", packed, quantization_config=ordered),
        write_checkpoint(tmp_path / "meant", meant),
    )


def test_where_memory_lacks_for_it_both_ways_out_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "packed"
    write_gptq(folder, random_weights(), 4)
    monkeypatch.setattr(
        dense, "machine_memory", lambda _: MemoryUse("cpu", "this CPU", 0, 1000, 1000)
    )
    with pytest.raises(CheckpointError, match=r"are free\. gptqmodel .* Or load another"):
        load_model(plan(folder), lambda _: None)
