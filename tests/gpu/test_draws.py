"""Draws on a card are read without waiting for what was asked of it after them."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from qwen_webui.engines.decode.sampling import Drawing, Sampler
from tests.engines.asking import GREEDY

pytestmark = pytest.mark.gpu
VOCABULARY = 1000


def test_log_probabilities_come_with_the_tokens() -> None:
    device = torch.device("cuda")
    sampler = Sampler(4, VOCABULARY, device)
    told = dataclasses.replace(GREEDY, logprobs=5)
    drawings = [
        dataclasses.replace(Drawing.of(told, VOCABULARY, device), row=row) for row in range(3)
    ]
    for drawing in drawings:
        sampler.seat(drawing, [1, 2, 3])
    logits = torch.randn(3, VOCABULARY, generator=torch.Generator().manual_seed(1))
    expected = torch.log_softmax(logits, -1).topk(5)
    draws = sampler.draw(logits.to(device), drawings)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        choices = draws.read()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for choice, tokens, values in zip(choices, expected.indices, expected.values, strict=True):
        assert choice.logprobs is not None and choice.token == int(tokens[0])
        assert choice.logprobs.tokens == tokens.tolist()
        assert choice.logprobs.values == pytest.approx(values.tolist(), abs=1e-5)
