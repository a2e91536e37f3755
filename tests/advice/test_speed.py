"""The estimate of speed by hand, and the cards it knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwen_webui.advice import advise, imagined, this_machine
from qwen_webui.advice.speed import BANDWIDTHS, bandwidth_of, expected_speed, share_of
from qwen_webui.checkpoints import catalogue
from qwen_webui.types import PRECISIONS

SPECS = {spec.name: spec for spec in catalogue(Path("/nowhere"))}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA GeForce RTX 4090", 1008),
        ("RTX 4090", 1008),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", 672),
        ("NVIDIA GeForce RTX 4070 Ti", 504),
        ("NVIDIA GeForce RTX 3060 Ti", 448),
        ("NVIDIA GeForce RTX 3060", 360),
        ("NVIDIA A100-SXM4-80GB", 2039),
        ("NVIDIA H100 80GB HBM3", 3350),
        ("NVIDIA L40S", 864),
        ("NVIDIA H200", 4800),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("Tesla T4", None),
        ("NVIDIA A10G", None),
        ("", None),
    ],
)
def test_bandwidth_by_the_drivers_name(name: str, expected: float | None) -> None:
    assert bandwidth_of(name) == expected


def test_the_shares_by_hand() -> None:
    """docs/log.md: 267, 430, 538, 542 tokens/s; 14.14, 7.77, 4.49, 4.48 GB a token; 4,800 GB/s."""
    found = {precision: round(share_of(precision), 2) for precision in PRECISIONS}
    assert found == {"fp16": 0.79, "gptq-int8": 0.70, "gptq-int4": 0.50, "awq-int4": 0.51}


def test_the_estimate_gives_the_measurement_back_and_scales() -> None:
    spec = SPECS["qwen2.5-7b-instruct-gptq-int4"]
    there = expected_speed(spec, imagined(141, 1, "NVIDIA H200"))
    assert there.tokens_per_second == pytest.approx(538)
    here = expected_speed(spec, imagined(24, 1, "RTX 4090"))
    assert here.kind == "estimate"
    assert here.tokens_per_second == pytest.approx(538 * 1008 / 4800)
    assert "1008 GB/s" in here.basis.text.en and "H200" in here.basis.text.zh
    assert len(here.basis.sources) == 2


def test_a_card_nobody_knows_is_said() -> None:
    speed = expected_speed(SPECS["qwen2.5-7b-instruct"], imagined(24, 1, "Strange 9"))
    assert (speed.kind, speed.tokens_per_second) == ("unknown", None)
    assert "Strange 9" in speed.basis.text.en and "Strange 9" in speed.basis.text.zh


def test_without_a_card_it_is_a_limit_and_called_so() -> None:
    """1.5B ties its embeddings, so all 3.09 GB are read: 51.2 / 3.09 = 16.6."""
    speed = expected_speed(SPECS["qwen2.5-1.5b-instruct"], imagined(16, 0))
    assert speed.kind == "limit" and speed.tokens_per_second == pytest.approx(16.6, abs=0.05)
    assert "At most" in speed.basis.text.en


def test_the_machines_own_measurement_wins_here_and_only_here() -> None:
    measured = {"qwen2.5-1.5b-instruct": 7.5}
    here = advise(SPECS.values(), this_machine("cpu"), "chat", 2_048, measured=measured).choice
    assert here is not None
    assert (here.speed.kind, here.speed.tokens_per_second) == ("measured", 7.5)
    other = advise(SPECS.values(), imagined(64, 0), "chat", 2_048, measured=measured).choice
    assert other is not None and other.speed.kind == "limit"


def test_the_table_is_of_plausible_figures() -> None:
    assert all(200 < bandwidth < 10_000 for bandwidth in BANDWIDTHS.values())
    assert all(bandwidth_of(f"NVIDIA {name}") == BANDWIDTHS[name] for name in BANDWIDTHS)
