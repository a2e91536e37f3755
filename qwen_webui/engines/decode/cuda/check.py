"""After a load: whether the kernels compute what the weights mean, on this card.

A few tiles of each product beside float64 straight from the file, one whole step whose logits must
be numbers, and a prompt by both ways that prompts take. Knows nothing of text.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from qwen_webui.engines.decode.cuda.kernels.linear import plain_kernel
from qwen_webui.engines.decode.cuda.step import DecodeStep, Start, launched
from qwen_webui.engines.decode.cuda.tiles import Card, Launch
from qwen_webui.engines.decode.cuda.weights import Product, Weights, fused
from qwen_webui.engines.decode.layouts import Linear, Plain
from qwen_webui.engines.decode.source import Source

COLUMNS = 8
# Rows looked at: the first and the last tile.
EDGE = 16
# Tokens of a prompt that goes both ways, through products of 32 columns and through the library's;
# rounding to 16 bits in every layer keeps the two some hundredths apart, an error about 1.
TEXT, MOST_APART = 40, 0.3
# Float32 sums of exact products stay below 1e-4; a wrong order or scale gives about 1.
MOST_ERROR = 1e-3


class WrongResult(Exception):
    """A kernel that was built but computes something else; the text says which."""


def kernels(weights: Weights, card: Card) -> list[Callable[[Start], object]]:
    """What `check` will start, to be compiled before."""
    named = (*weights.layers[0].products, ("head", weights.head))
    device, dtype = weights.table.device, weights.dtype
    return [
        partial(
            _multiply, name, torch.zeros(COLUMNS, product.inputs, dtype=dtype, device=device),
            product, card,
        )
        for name, product in named
    ]  # fmt: skip


def check(
    source: Source, weights: Weights, step: DecodeStep, card: Card,
    prefill: Callable[[list[int], bool], Tensor],
) -> None:  # fmt: skip
    """Raises WrongResult. Uses the first layer, and the spare row of the cache. `prefill` computes
    tokens from the beginning on, as a few tokens are or as many are: logits of the last."""
    own = weights.layers[0]
    linears = dict(fused(weights.shape, source.layer(0)))
    for name, product in own.products:
        _require_right(name, product, linears[name], weights.dtype, card)
    _require_right("head", weights.head, weights.head.scales, weights.dtype, card)
    step.run()
    if not bool(torch.isfinite(step.logits[: step.count]).all()):
        raise WrongResult("the logits are not numbers")
    text = [place * 997 % weights.shape.vocabulary for place in range(TEXT)]
    few, many = prefill(text, True).clone(), prefill(text, False)
    apart = float((few - many).norm() / few.norm())
    if not apart < MOST_APART:
        raise WrongResult(f"a prompt's logits differ by {apart:.1e} between its two ways")


def multiply(name: str, x: Tensor, product: Product, card: Card) -> Tensor:
    """x [1, or 8 and more columns, inputs] times the product, float32, cut as in a step."""
    return _multiply(name, x, product, card, launched)


def _multiply(name: str, x: Tensor, product: Product, card: Card, start: Start) -> Tensor:
    count, inputs = x.shape
    columns = max(COLUMNS, count)
    launch = Launch.of(name, product, columns, card)
    # A product may read more columns than are asked for.
    x = torch.cat([x, x.new_zeros(launch.options["COLUMNS"] - count, inputs)])
    out = torch.full((count, product.rows), torch.nan, device=x.device)
    shares = torch.empty(launch.shares, device=x.device)
    arrived = torch.zeros(launch.grid[0], dtype=torch.int32, device=x.device)
    start(
        plain_kernel, launch.grid, x, 0 if count == 1 else inputs, product.words, product.scales,
        shares, arrived, out, product.rows, count, **launch.options,
    )  # fmt: skip
    return out


def _require_right(
    name: str, product: Product, linear: Linear, dtype: torch.dtype, card: Card
) -> None:
    x = torch.randn(COLUMNS, product.inputs, device=product.words.device).to(dtype)
    found = multiply(name, x, product, card)
    edges = [*range(EDGE), *range(product.rows - EDGE, product.rows)]
    wanted = x.double() @ _dense(linear, edges, dtype).T
    error = float((found[:, edges].double() - wanted).norm() / wanted.norm())
    if not error < MOST_ERROR:
        raise WrongResult(f"{name} is off by {error:.1e} of its size")


def _dense(linear: Linear, rows: list[int], dtype: torch.dtype) -> Tensor:
    """In float64; what is not packed is rounded as it was for the kernels."""
    if isinstance(linear, Tensor):
        return linear[rows].to(dtype).double()
    few = Plain(linear.values[rows], linear.scales[rows], linear.zeros[rows], linear.bits)
    return few.dense()
