"""The formulas, against cases worked out by hand."""

from __future__ import annotations

import pytest

from qwen_webui.engines.script import DEFAULTS
from qwen_webui.measure.speed.figures import (
    bytes_per_token,
    decode_rate,
    kv_bytes_per_token,
    limit,
    share,
    spread,
    streamed_weights,
    whole_rate,
)
from qwen_webui.types import CheckpointSpec, Dtype, EngineInfo, ModelShape, Usage

SEVEN = ModelShape(28, 28, 4, 128, 3584, 18944, 152064, False, 32768)
# As the makers' files have it in 16 bits.
BYTES = 15_230_967_808


def info(shape: ModelShape, weights: int, dtype: Dtype = "float16") -> EngineInfo:
    spec = CheckpointSpec("x", "x", "local", "7B", "fp16", "none", weights, shape)
    return EngineInfo(spec, "cpu", "CPU", dtype, "none", 32768, DEFAULTS, (), weights, 0.0)


def test_both_definitions_of_tokens_a_second() -> None:
    usage = Usage(30, 101, 0, seconds_to_first_token=2.0, seconds=12.0)
    assert whole_rate(usage) == pytest.approx(101 / 12)
    assert decode_rate(usage) == 10.0
    assert decode_rate(Usage(30, 1, 0, 2.0, 2.0)) is None, "one token has no time after itself"


def test_median_and_extremes() -> None:
    found = spread([5.0, 1.0, 3.0])
    assert (found.median, found.low, found.high, found.n) == (3.0, 1.0, 5.0, 3)
    assert spread([2.0, 4.0]).median == 3.0


def test_a_token_reads_all_weights_but_the_table_of_embeddings() -> None:
    found = info(SEVEN, BYTES)
    assert streamed_weights(found) == BYTES - 152064 * 3584 * 2 == 14_140_973_056
    assert kv_bytes_per_token(found.checkpoint, "float16") == 57_344
    assert bytes_per_token(found, 6_144, 2_048) == 14_140_973_056 + 57_344 * (6_144 + 1_024)
    wide = info(SEVEN, 2 * BYTES, "float32")
    assert streamed_weights(wide) == 2 * 14_140_973_056
    assert kv_bytes_per_token(wide.checkpoint, "float32") == 114_688


def test_a_tied_table_is_read() -> None:
    tied = ModelShape(24, 14, 2, 64, 896, 4864, 151936, True, 32768)
    assert streamed_weights(info(tied, 988_000_000)) == 988_000_000


def test_share_of_the_limit() -> None:
    most = limit(4.287e12, 14_140_973_056)
    assert most == pytest.approx(303.16, abs=0.01)
    assert share(151.58, most) == pytest.approx(0.5, abs=1e-3)
    assert limit(1e9, 0) is None
