"""YaRN is switched on by the plan, with the reference's frequencies."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from transformers import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding

from qwen_webui.engines.loading import read_config, read_model
from tests.engines.checkpoints import CONTEXT, HEADS, HIDDEN, plan

THETA = 1000000.0


def rotary(folder: Path, factor: float) -> Qwen2RotaryEmbedding:
    wanted = plan(folder, yarn_factor=factor)
    model = read_model(wanted, read_config(wanted), "float32", None)
    return model.model.rotary_emb


def test_yarn_frequencies_are_the_references(tiny: Path) -> None:
    reference = Qwen2RotaryEmbedding(
        Qwen2Config(
            hidden_size=HIDDEN,
            num_attention_heads=HEADS,
            max_position_embeddings=CONTEXT,
            rope_parameters={
                "rope_type": "yarn",
                "rope_theta": THETA,
                "factor": 4.0,
                "original_max_position_embeddings": CONTEXT,
            },
        )
    )
    found = rotary(tiny, 4.0)
    assert torch.equal(found.inv_freq, reference.inv_freq)
    assert found.attention_scaling == pytest.approx(0.1 * math.log(4.0) + 1.0)


def test_yarn_keeps_fast_frequencies_and_stretches_slow_ones(tiny: Path) -> None:
    plain, stretched = rotary(tiny, 1.0), rotary(tiny, 4.0)
    head = HIDDEN // HEADS
    own = 1.0 / THETA ** (torch.arange(0, head, 2) / head)
    assert torch.allclose(plain.inv_freq, own)
    assert plain.attention_scaling == 1.0
    ratio = plain.inv_freq / stretched.inv_freq
    assert ratio[0] == pytest.approx(1.0) and ratio[-1] == pytest.approx(4.0)
    assert bool((ratio.diff() >= -1e-4).all())
