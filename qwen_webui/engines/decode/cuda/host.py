"""Packed weights kept in pinned memory of the host, so that a swap back only copies them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from qwen_webui.engines.decode.cuda.weights import Layer, Product, Weights


def kept(weights: Weights) -> Weights:
    """The same on the host, page-locked. Raises RuntimeError where the system has no room."""

    def lock(tensor: Tensor) -> Tensor:
        locked = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        return locked.copy_(tensor, non_blocking=True)

    found = _moved(weights, lock)
    torch.cuda.synchronize()
    return found


def restored(weights: Weights) -> Weights:
    """What `kept` returned, on the card again; the copies are queued on the current stream."""
    return _moved(weights, lambda tensor: tensor.to("cuda", non_blocking=True))


def _moved(weights: Weights, move: Callable[[Tensor], Tensor]) -> Weights:
    table = move(weights.table)
    tied = weights.head.scales.data_ptr() == weights.table.data_ptr()
    return Weights(
        weights.shape,
        table,
        tuple(_layer(layer, move) for layer in weights.layers),
        move(weights.gain),
        _with(weights.head, table if tied else move(weights.head.scales)),
    )


def _layer(layer: Layer, move: Callable[[Tensor], Tensor]) -> Layer:
    products = {name: _product(product, move) for name, product in layer.products}
    return Layer(
        bias=move(layer.bias),
        input_gain=move(layer.input_gain),
        post_gain=move(layer.post_gain),
        **products,
    )


def _product(product: Product, move: Callable[[Tensor], Tensor]) -> Product:
    if product.bits == 16:
        return _with(product, move(product.scales))
    return dataclasses.replace(product, words=move(product.words), scales=move(product.scales))


def _with(product: Product, dense: Tensor) -> Product:
    """16-bit weights are one tensor under two names."""
    return dataclasses.replace(product, words=dense.view(torch.int32), scales=dense)
