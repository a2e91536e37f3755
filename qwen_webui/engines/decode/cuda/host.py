"""Packed weights kept in pinned memory of the host, so that a swap back only copies them."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable

import torch
from torch import Tensor

from qwen_webui.engines.decode.cuda.weights import Layer, Product, Weights
from qwen_webui.engines.decode.host_cache import NotKept, Stop

# Each tensor begins at a multiple, as the card's own allocator would have it.
ALIGNED = 512


class PinnedCopy:
    """Weights in one block of page-locked memory of the host.

    One block, registered with the driver: torch's own pinned allocator rounds every tensor up to
    a power of two, and keeps what is freed.
    """

    def __init__(self, weights: Weights, stop: Stop) -> None:
        """Copies `weights` on a stream of its own. Raises NotKept when stopped, or where the system
        locks no such memory."""
        self.nbytes = copy_bytes(weights)
        try:
            self._block = torch.empty(self.nbytes, dtype=torch.uint8)
        except RuntimeError as error:
            raise NotKept(f"the host has no {self.nbytes:,} bytes") from error
        driver = torch.cuda.cudart()
        failed = int(driver.cudaHostRegister(self._block.data_ptr(), self.nbytes, 0))
        if failed:
            raise NotKept(f"{self.nbytes:,} bytes could not be locked (CUDA error {failed})")
        # Whoever forgets to release it: memory that is freed while it is registered can make later
        # copies from the same addresses fail ("resource already mapped").
        self._unregister = weakref.finalize(self, driver.cudaHostUnregister, self._block.data_ptr())
        # By then there may be no driver.
        self._unregister.atexit = False
        self._at = 0
        # Recorded behind the last copies from it.
        self.arrived: torch.cuda.Event | None = None
        try:
            with torch.cuda.stream(torch.cuda.Stream()):
                self.weights = _moved(weights, lambda tensor: self._take(tensor, stop))
                torch.cuda.current_stream().synchronize()
        except BaseException:
            torch.cuda.synchronize()
            self._unregister()
            raise

    def release(self) -> None:
        """Give the memory back, once what is copied from it has arrived."""
        # Not the whole device: another thread may be recording a graph.
        if self.arrived is not None:
            self.arrived.synchronize()
        self._unregister()
        del self.weights, self._block

    def _take(self, tensor: Tensor, stop: Stop) -> Tensor:
        if stop():
            raise NotKept("the checkpoint was unloaded first")
        place = self._block[self._at : self._at + tensor.nbytes].view(tensor.dtype)
        self._at += _room(tensor)
        return place.view(tensor.shape).copy_(tensor, non_blocking=True)


def restored(saved: PinnedCopy) -> Weights:
    """The weights on the card again; copies are queued on the current stream."""
    weights = _moved(saved.weights, lambda tensor: tensor.to("cuda", non_blocking=True))
    saved.arrived = torch.cuda.Event()
    saved.arrived.record()
    return weights


def copy_bytes(weights: Weights) -> int:
    """What a PinnedCopy of `weights` takes."""
    sizes: list[int] = []
    _moved(weights, lambda tensor: _counted(tensor, sizes))
    return sum(sizes)


def _room(tensor: Tensor) -> int:
    return -(-tensor.nbytes // ALIGNED) * ALIGNED


def _counted(tensor: Tensor, sizes: list[int]) -> Tensor:
    sizes.append(_room(tensor))
    return tensor


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
