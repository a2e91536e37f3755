"""Packed weights kept in pinned memory of the host, so that a swap back only copies them."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from qwen_webui.engines.decode.cuda.weights import Layer, Product, Weights
from qwen_webui.engines.decode.host_cache import NotKept, Stop

# Each tensor begins at a multiple, as the card's own allocator would have it.
ALIGNED = 512
# Locked at once: some milliseconds of the driver.
PART = 64 << 20
SYSTEM_PAGE = 4096


class PinnedCopy:
    """Weights in one block of page-locked memory of the host.

    One block, registered with the driver: torch's own pinned allocator rounds every tensor up to
    a power of two, and keeps what is freed. Registered part by part: the driver answers nobody
    while it locks memory, and for 15 GB that is seconds.
    """

    def __init__(self, weights: Weights, stop: Stop) -> None:
        """Copies `weights` on a stream of its own. Raises NotKept when stopped, or where the system
        locks no such memory."""
        self.nbytes = copy_bytes(weights)
        try:
            whole = torch.empty(self.nbytes + SYSTEM_PAGE, dtype=torch.uint8)
        except RuntimeError as error:
            raise NotKept(f"the host has no {self.nbytes:,} bytes") from error
        # Two parts in one page of the system could not both be registered.
        first = -whole.data_ptr() % SYSTEM_PAGE
        self._block = whole[first : first + self.nbytes]
        self._locked: list[int] = []
        # Whoever forgets to release it: memory that is freed while it is registered can make later
        # copies from the same addresses fail ("resource already mapped").
        self._unlock = weakref.finalize(self, _unlock, self._locked)
        # By then there may be no driver.
        self._unlock.atexit = False
        self._at = 0
        # Recorded behind the last copies from it.
        self.arrived: torch.cuda.Event | None = None
        try:
            # Streams come from a pool, and graphs are recorded on those of no priority: what is
            # asked of a stream that another thread records would become part of the graph.
            with torch.cuda.stream(torch.cuda.Stream(priority=-1)):
                self.weights = _moved(weights, lambda tensor: self._take(tensor, stop))
                torch.cuda.current_stream().synchronize()
        except BaseException:
            torch.cuda.synchronize()
            self._unlock()
            raise

    def restored(self) -> Weights:
        """The weights on the card again; copies are queued on the current stream."""
        weights = _moved(self.weights, self._onto_card)
        self.arrived = torch.cuda.Event()
        self.arrived.record()
        return weights

    def release(self) -> None:
        """Give the memory back, once what is copied from it has arrived."""
        # Not the whole device: another thread may be recording a graph.
        if self.arrived is not None:
            self.arrived.synchronize()
        self._unlock()
        del self.weights, self._block

    def _take(self, tensor: Tensor, stop: Stop) -> Tensor:
        at, self._at = self._at, self._at + _room(tensor)
        flat = tensor.view(-1).view(torch.uint8)
        for start, end in within_parts(at, tensor.nbytes):
            if stop():
                raise NotKept("the checkpoint was unloaded first")
            while len(self._locked) * PART < end:
                self._lock_next()
            self._block[start:end].copy_(flat[start - at : end - at], non_blocking=True)
        place = self._block[at : at + tensor.nbytes]
        return place.view(tensor.dtype).view(tensor.shape)

    def _lock_next(self) -> None:
        start = len(self._locked) * PART
        part = self._block[start : start + PART]
        # The system finds memory at the first touch, which must not be the driver's.
        part[::SYSTEM_PAGE].zero_()
        failed = int(torch.cuda.cudart().cudaHostRegister(part.data_ptr(), len(part), 0))
        if failed:
            raise NotKept(f"{self.nbytes:,} bytes could not be locked (CUDA error {failed})")
        self._locked.append(part.data_ptr())

    def _onto_card(self, tensor: Tensor) -> Tensor:
        out = torch.empty_like(tensor, device="cuda")
        into, flat = (each.view(-1).view(torch.uint8) for each in (out, tensor))
        at = tensor.data_ptr() - self._block.data_ptr()
        for start, end in within_parts(at, tensor.nbytes):
            into[start - at : end - at].copy_(flat[start - at : end - at], non_blocking=True)
        return out


def _unlock(locked: list[int]) -> None:
    while locked:
        torch.cuda.cudart().cudaHostUnregister(locked.pop())


def within_parts(at: int, nbytes: int) -> Iterator[tuple[int, int]]:
    """The bytes from `at` on, cut where parts meet: one copy may not reach over two of them."""
    end = at + nbytes
    while at < end:
        cut = min(end, (at // PART + 1) * PART)
        yield at, cut
        at = cut


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
