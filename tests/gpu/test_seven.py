"""Layers of Qwen2.5-7B's shape, random weights, beside transformers in float32: heads of 128, of
which seven share keys, prompts of thousands of tokens, attention in all its shares."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from qwen_webui.engines.loading import read_config
from qwen_webui.types import CheckpointSpec, LoadPlan, ModelShape
from tests.gpu.plain import distance

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
LAYERS, VOCABULARY, CONTEXT = 2, 2048, 8192
SHAPE = ModelShape(LAYERS, 28, 4, 128, 3584, 18944, VOCABULARY, False, CONTEXT)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, Qwen2ForCausalLM]:
    """Our computer and transformers' model."""
    from qwen_webui.engines.decode.cuda.loading import load_computer

    folder: Path = tmp_path_factory.mktemp("seven")
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=3584, intermediate_size=18944, num_hidden_layers=LAYERS,
        num_attention_heads=28, num_key_value_heads=4, max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6}, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.device("cuda"):
        model = Qwen2ForCausalLM(config).half().eval()
    model.save_pretrained(folder)
    spec = CheckpointSpec("r", "r", "local", "?", "fp16", "none", 0, SHAPE, None, str(folder))
    plan = LoadPlan(spec, str(folder), "cuda", "float16", CONTEXT)
    own = load_computer(plan, read_config(plan), "float16")
    # Read anew: model.float() would keep rotations by frequencies that half() had rounded.
    return own, Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32).cuda().eval()


@pytest.mark.parametrize("length", [20, 300, 7000])
def test_prefill_and_decode(both: tuple[object, Qwen2ForCausalLM], length: int) -> None:
    own, model = both
    text = torch.randint(0, VOCABULARY, (length + 6,), device="cuda")
    with torch.inference_mode():
        wanted = model(text[None], logits_to_keep=8).logits[0].float()
    pages = torch.randperm(own.pages)[: -(-len(text) // own.page_tokens)].tolist()  # type: ignore[attr-defined]
    own.seat(2, pages)  # type: ignore[attr-defined]
    at = 0
    while at < length:
        step = min(own.piece, length - at)  # type: ignore[attr-defined]
        found = own.prefill(2, text[at : at + step].tolist(), at)  # type: ignore[attr-defined]
        at += step
    assert distance(found, wanted[-7]) < 6e-3
    for place in range(length, length + 6):
        found = own.decode([2], text[place : place + 1], [place])  # type: ignore[attr-defined]
        assert distance(found[0], wanted[place - length - 6]) < 6e-3
