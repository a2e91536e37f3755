"""How a computation is stopped from outside, in the middle of a prefill too.

A ticket is the right to compute; whoever gave it can take it back. Hooks on the decoder layers
look at the ticket of their own thread, so requests that run side by side do not disturb each
other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


class Cancelled(Exception):
    """Nobody waits for this answer any more."""


class Ticket:
    """One call's right to the device. `issued` is on the monotonic clock."""

    def __init__(self) -> None:
        self.issued = time.monotonic()
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether it has been taken back."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Take it back; the computation notices at its next check."""
        self._cancelled.set()

    def check(self) -> None:
        """Raise Cancelled if it was taken back."""
        if self._cancelled.is_set():
            raise Cancelled


class LayerHooks:
    """Checks the ticket before every decoder layer and before its second half.

    Without them a long prefill could only be stopped at its end. `watching` also tells how many
    tokens have entered the first layer.
    """

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        self._here = threading.local()
        for place, layer in enumerate(layers):
            hook = self._enter if place == 0 else self._check
            layer.register_forward_pre_hook(hook, with_kwargs=True)
            if isinstance(half := getattr(layer, "mlp", None), nn.Module):
                half.register_forward_pre_hook(self._check, with_kwargs=True)

    @contextmanager
    def watching(self, ticket: Ticket, entered: Callable[[int], None]) -> Iterator[None]:
        """Whatever this thread computes inside stops when `ticket` is taken back."""
        self._here.ticket, self._here.entered = ticket, entered
        try:
            yield
        finally:
            del self._here.ticket, self._here.entered

    def _check(self, _module: nn.Module, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
        ticket: Ticket | None = getattr(self._here, "ticket", None)
        if ticket is not None:
            ticket.check()

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._check(module, args, kwargs)
        if hasattr(self._here, "entered"):
            hidden = args[0] if args else kwargs["hidden_states"]
            self._here.entered(hidden.shape[1])
