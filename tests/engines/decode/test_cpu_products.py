"""Dense products on a CPU beside float64, whoever computes them."""

from __future__ import annotations

import pytest
import torch

from qwen_webui.engines.decode.cpu_products import LARGE, dense

# Outputs and inputs: of 0.5B (o, down, gate and up), and too small for oneDNN.
SHAPES = ((896, 896), (896, 4864), (9728, 896), (96, 64))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("outputs", "inputs"), SHAPES)
def test_any_number_of_rows_is_right_to_rounding(outputs: int, inputs: int, shared: bool) -> None:
    weight, bias = torch.randn(outputs, inputs), torch.randn(outputs)
    product = dense(weight, bias, shared)
    large = outputs * inputs >= LARGE and torch.backends.mkldnn.is_available()
    assert product.kernel == ("torch onednn" if large else "torch dense")
    for rows in (1, 2, 8, 33):
        x = torch.randn(rows, inputs)
        expected = x.double() @ weight.double().T + bias.double()
        found = product(x).double()
        assert float((found - expected).norm() / expected.norm()) < 2e-6


def test_bfloat16_rounds_its_result_alone() -> None:
    weight = torch.randn(1024, 1024).bfloat16()
    x = torch.randn(8, 1024).bfloat16()
    expected = x.double() @ weight.double().T
    found = dense(weight)(x)
    assert found.dtype == torch.bfloat16
    assert float((found.double() - expected).norm() / expected.norm()) < 4e-3


def test_shared_weights_are_counted_where_they_come_from() -> None:
    for size in (64, 1024):
        weight = torch.zeros(size, size)
        assert dense(weight).nbytes == weight.nbytes
        assert dense(weight, shared=True).nbytes == 0
