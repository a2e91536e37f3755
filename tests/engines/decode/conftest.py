"""One thread computes: what is compared here is small, and two wait for each other. And a model
that goes wrong where a test says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from qwen_webui.engines.decode.model import DecodedModel
from tests.engines.decode.asking import Faulty, computer, model


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def faulty() -> Iterator[tuple[DecodedModel, Faulty]]:
    """Fresh, with its computer."""
    on = Faulty.of(computer())
    found = model(on=on)
    yield found, on
    found.unload()
