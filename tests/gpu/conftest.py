"""What computes on a card. There is none where the other tests run: each says so."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def card() -> None:
    """Skips without a card, before any other fixture asks for one."""
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA card and Triton; there is none on this machine")
    pytest.importorskip("triton")
