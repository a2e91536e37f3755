"""The formulas of a speed report. Plain numbers in and out; definitions.py says what they mean."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from qwen_webui.measure.speed.report import Spread
from qwen_webui.types import CheckpointSpec, Dtype, EngineInfo, Usage

WIDTHS: dict[Dtype, int] = {"float32": 4, "float16": 2, "bfloat16": 2}


def spread(values: Sequence[float]) -> Spread:
    """Median and extremes; there must be a value."""
    return Spread(statistics.median(values), min(values), max(values), len(values))


def whole_rate(usage: Usage) -> float:
    """Generated tokens over the whole time, prefill included: how Qwen's table counts."""
    return usage.completion_tokens / usage.seconds if usage.seconds > 0 else 0.0


def decode_rate(usage: Usage) -> float | None:
    """Tokens after the first over the time after the first; None where there is only one."""
    return usage.tokens_per_second if usage.completion_tokens > 1 else None


def kv_bytes_per_token(spec: CheckpointSpec, dtype: Dtype) -> int:
    """Keys and values of one token in all layers."""
    return spec.shape.kv_elements_per_token * WIDTHS[dtype]


def streamed_weights(info: EngineInfo) -> int:
    """Bytes of weights that every token reads: all but the table of embeddings, of which a token
    takes one row. A tied table is the output matrix too, and is read."""
    shape = info.checkpoint.shape
    table = 0 if shape.tied_embeddings else shape.vocabulary * shape.hidden * WIDTHS[info.dtype]
    return max(0, info.weights_bytes - table)


def bytes_per_token(info: EngineInfo, input_tokens: int, output_tokens: int) -> int:
    """What a token of one answer must read: weights, and the cache at its mean length."""
    held = input_tokens + output_tokens / 2
    return round(streamed_weights(info) + held * kv_bytes_per_token(info.checkpoint, info.dtype))


def limit(copy_rate: float, each: int) -> float | None:
    """Tokens a second that the memory allows; None where nothing is read."""
    return copy_rate / each if each > 0 else None


def share(reached: float, most: float) -> float:
    """Of the limit, from 0 to 1; above 1 where a cache holds what the memory need not bring."""
    return reached / most
