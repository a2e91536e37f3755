"""The forecast of weights on a CPU beside what a load of the same folder holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwen_webui.checkpoints import describe_folder
from qwen_webui.checkpoints.choice import choose
from qwen_webui.engines.decode.cpu import load_computer
from qwen_webui.engines.loading import read_config
from qwen_webui.memory import forecast
from tests.engines.checkpoints import (
    old_awq,
    old_gptq,
    plan,
    quantized_weights,
    random_weights,
    write_checkpoint,
)
from tests.engines.packing import awq_tensors, gptq_tensors, round_to_nearest

# Method, bits, group_size as the file says it, and of the four products of a layer how many are
# multiplied packed: three have 256 inputs, the fourth 512.
CASES = [
    ("gptq", 4, 32, 4),
    ("gptq", 4, 64, 4),
    ("gptq", 4, 128, 4),
    ("gptq", 4, 256, 4),
    ("gptq", 4, 16, 0),
    ("gptq", 4, -1, 3),
    ("gptq", 4, 512, 3),
    ("gptq", 4, 1024, 3),
    ("gptq", 8, 128, 4),
    ("gptq", 8, 16, 4),
    ("gptq", 8, -1, 4),
    ("awq", 4, 64, 4),
    ("awq", 4, 16, 0),
    ("awq", 4, -1, 3),
]


def written(folder: Path, method: str, bits: int, size: int) -> Path:
    packed, _ = quantized_weights(
        random_weights(),
        lambda weight: round_to_nearest(
            weight,
            bits,
            min(size, weight.shape[1]) if size > 0 else weight.shape[1],
            symmetric=method == "gptq",
        ),
        lambda levels: (
            gptq_tensors(levels, zeros_minus_one=True) if method == "gptq" else awq_tensors(levels)
        ),
    )
    said = old_gptq(bits) if method == "gptq" else old_awq()
    return write_checkpoint(folder, packed, quantization_config=said | {"group_size": size})


@pytest.mark.parametrize(("method", "bits", "size", "packs"), CASES)
def test_weights_are_what_a_load_holds(
    tmp_path: Path, method: str, bits: int, size: int, packs: int
) -> None:
    folder = written(tmp_path / "packed", method, bits, size)
    spec = describe_folder(folder)
    assert spec.group_size == size
    of = plan(folder, spec.precision)
    weights = load_computer(of, read_config(of), "float32")._w
    layer = weights.layers[0]
    kernels = [part.kernel for part in (layer.qkv, layer.o, layer.gate_up, layer.down)]
    assert sum(kernel == f"torch int{bits}pack" for kernel in kernels) == packs
    said = forecast(spec, context=256, device="cpu", free=0, total=0).weights
    # Beside products and table the forecast has what is not counted there: norms and biases.
    assert weights.nbytes <= said < 1.02 * weights.nbytes


def test_an_unquantised_folder_is_held_in_32_bits(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "plain", random_weights())
    of = plan(folder)
    weights = load_computer(of, read_config(of), "float32")._w
    said = forecast(describe_folder(folder), context=256, device="cpu", free=0, total=0).weights
    assert weights.nbytes <= said < 1.02 * weights.nbytes


def test_what_is_unpacked_takes_more_while_it_is_read_too(tmp_path: Path) -> None:
    whole, of_16 = (
        forecast(
            describe_folder(written(tmp_path / f"{size}", "gptq", 4, size)),
            context=1,
            device="cpu",
            free=0,
            total=0,
        )
        for size in (128, 16)
    )
    assert of_16.activations > whole.activations and of_16.needed > whole.needed


def test_of_an_unknown_shape_nothing_is_said() -> None:
    for name in ("someone/model-gptq", "someone/model-awq"):
        need = forecast(
            choose(name, None, known=()).spec, context=256, device="cpu", free=0, total=0
        )
        assert (need.weights, need.kv_cache) == (0, 0)
