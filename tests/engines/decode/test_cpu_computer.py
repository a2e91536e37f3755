"""The CPU's forward pass beside that of transformers, in each precision and dtype."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor

from qwen_webui.engines.decode.cpu import CpuComputer, load_computer
from qwen_webui.engines.decode.model import at_once
from qwen_webui.engines.decode.source import NotForThisPath
from qwen_webui.engines.loading import read_config, read_model
from qwen_webui.errors import CheckpointError
from qwen_webui.types import Dtype, LoadPlan, Precision
from tests.engines.checkpoints import (
    VOCABULARY,
    old_gptq,
    plan,
    random_weights,
    write_checkpoint,
)
from tests.engines.decode.asking import computer, demo

QUANTIZED: tuple[Precision, ...] = ("gptq-int8", "gptq-int4", "awq-int4")
IDS = random.Random(5).choices(range(20, 400), k=150)


@pytest.mark.parametrize(("pages", "most"), [(256, 16), (100, 6), (31, 2), (16, 2)])
def test_as_many_at_once_as_pages_hold_contexts(pages: int, most: int) -> None:
    class Given(CpuComputer):
        page_tokens = 64

        def __init__(self) -> None:
            self.pages, self.rows = pages, 16

    assert at_once(Given(), 16 * 64 - 63) == most


def reference(of: LoadPlan, dtype: Dtype = "float32") -> Tensor:
    """Logits of all of IDS."""
    with torch.inference_mode():
        found: Tensor = read_model(of, read_config(of), dtype, None)(torch.tensor([IDS])).logits[0]
    return found.float()


def computed(found: CpuComputer) -> Tensor:
    """The same by pieces and steps, in pages in no order, other rows beside."""
    pages = random.Random(1).sample(range(40), 20)
    found.seat(3, pages)
    found.seat(1, sorted(set(range(60)) - set(pages)))
    with torch.inference_mode():
        parts = [found.prefill(3, IDS[:70], 0, every=True)]
        found.prefill(1, IDS[:40], 0)
        parts.append(found.prefill(3, IDS[70:140], 70, every=True))
        for place in range(140, len(IDS)):
            tokens = torch.tensor([IDS[place - 100], IDS[place]])
            parts.append(found.decode([1, 3], tokens, [place - 100, place])[1:])
    return torch.cat(parts)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_float32_is_transformers_to_rounding() -> None:
    assert relative(computed(computer()), reference(demo())) < 5e-6


def test_bfloat16_is_as_near_to_float32_as_transformers_is() -> None:
    exact = reference(demo())
    mine = computed(load_computer(demo(), read_config(demo()), "bfloat16"))
    assert relative(mine, exact) < 1.5 * relative(reference(demo(), "bfloat16"), exact)


@pytest.mark.parametrize("precision", QUANTIZED)
def test_packed_layouts_mean_their_dense_weights(
    tiny_folders: dict[str, Path], precision: Precision
) -> None:
    of, dense = plan(tiny_folders[precision], precision), plan(tiny_folders[f"dense-{precision}"])
    expected = reference(dense)
    config = read_config(of)
    exact = computed(load_computer(of, config, "float32", packed=False))
    assert relative(exact, expected) < 2e-3, "dense weights of the test are rounded to float16"
    quick = load_computer(of, config, "float32")
    assert quick.kernel == ("torch int8pack" if precision == "gptq-int8" else "torch int4pack")
    assert relative(computed(quick), expected) < 0.1


@pytest.mark.parametrize("precision", QUANTIZED)
def test_the_embedded_checkpoint_in_each_precision(precision: Precision) -> None:
    of = demo(precision)
    exact = computed(load_computer(of, read_config(of), "float32", packed=False))
    quick = computed(computer(of))
    assert relative(quick, exact) < 0.02
    assert float((quick.argmax(-1) == exact.argmax(-1)).float().mean()) > 0.95


def test_packed_rows_do_not_depend_on_their_batch() -> None:
    found = computer(demo("gptq-int4"))
    tokens, positions = torch.tensor(IDS[:8]), [60 + row for row in range(8)]
    with torch.inference_mode():
        for row in range(8):
            found.seat(row, range(10 * row, 10 * row + 10))
            found.prefill(row, IDS[: 60 + row], 0)
        together = found.decode(range(8), tokens, positions)
        alone = [found.decode([r], tokens[r : r + 1], positions[r : r + 1]) for r in range(8)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_yarn_is_in_the_rotation(tiny: Path) -> None:
    plain, stretched = plan(tiny), plan(tiny, yarn_factor=4.0)
    found = computed(load_computer(stretched, read_config(stretched), "float32"))
    assert relative(found, reference(stretched)) < 5e-6
    assert relative(found, reference(plain)) > 1e-3


def test_what_only_the_reference_computes_is_told(tmp_path: Path, tiny: Path) -> None:
    weights = random_weights()
    odd = write_checkpoint(
        tmp_path / "odd", weights, quantization_config={**old_gptq(4), "desc_act": True}
    )
    with pytest.raises(NotForThisPath, match="desc_act"):
        load_computer(plan(odd), read_config(plan(odd)), "float32")
    del weights["model.layers.2.mlp.up_proj.weight"]
    torn = write_checkpoint(tmp_path / "torn", weights)
    with pytest.raises(CheckpointError, match=r"layers\.2\.mlp\.up_proj"):
        load_computer(plan(torn), read_config(plan(torn)), "float32")
    assert load_computer(plan(tiny), read_config(plan(tiny)), "float32").vocabulary == VOCABULARY
