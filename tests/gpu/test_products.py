"""Each product of 0.5B and 7B beside float64, fresh random inputs, cut as in a step."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from tests.gpu.plain import distance, random_linear

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
KINDS = ("float16", "bfloat16", "int8", "int4", "awq")
COUNTS = (1, 8, 16, 32)
# qkv, o, gate and up, down: rows and inputs.
HEADS = {"7B": (152064, 3584), "0.5B": (151936, 896)}
SHAPES = {
    "7B": {"qkv": (4608, 3584), "o": (3584, 3584), "gate_up": (37888, 3584), "down": (3584, 18944)},
    "0.5B": {"qkv": (1152, 896), "o": (896, 896), "gate_up": (9728, 896), "down": (896, 4864)},
}


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_products(kind: str, size: str) -> None:
    from qwen_webui.engines.decode.cuda.check import _multiply, multiply
    from qwen_webui.engines.decode.cuda.compiling import compile_all
    from qwen_webui.engines.decode.cuda.tiles import Card
    from qwen_webui.engines.decode.cuda.weights import product

    dtype = torch.bfloat16 if kind == "bfloat16" else torch.float16
    card = Card.here()
    shapes = dict(SHAPES[size])
    if kind.endswith("float16"):
        shapes["head"] = HEADS[size]
    linears = {name: random_linear(kind, *shape) for name, shape in shapes.items()}
    products = {name: product(linear, dtype) for name, linear in linears.items()}

    def x(count: int, inputs: int) -> Tensor:
        return torch.randn(count, inputs, device="cuda").to(dtype)

    compile_all(
        partial(_multiply, name, x(count, own.inputs), own, card)
        for name, own in products.items()
        for count in COUNTS
    )
    worst = 0.0
    for name, own in products.items():
        linear = linears[name]
        dense = linear.double() if isinstance(linear, Tensor) else linear.dense()
        for count in COUNTS:
            inputs = x(count, own.inputs)
            found = multiply(name, inputs, own, card)
            worst = max(worst, distance(found, inputs.double() @ dense.T))
    print(f"{kind} {size}: worst relative error {worst:.1e}")
    assert worst < 2e-5
