"""Keeps the libraries' banners, bars and warnings out of what our own command prints."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def only_ours(report: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Inside, standard output is muted but for what goes through the yielded `report`.

    gptqmodel paints over the terminal from several threads; transformers warns that a kernel was
    chosen by us. Neither is of use to who waits for a checkpoint. Errors still raise.
    """
    ours = sys.stdout

    def told(line: str) -> None:
        with redirect_stdout(ours):
            report(line)

    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield told
