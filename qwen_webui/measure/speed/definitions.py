"""What each figure of a report means and where the definition comes from; what others measured.

Texts and published numbers only. figures.py computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qwen_webui.types import Precision

DEFINITIONS: Mapping[str, str] = {
    "whole": "Tokens a second of one request: generated tokens over the whole time from the "
    "question to the last token, prefill included (as in the speed benchmark of Qwen's "
    "documentation). Greedy, with an input of random tokens and an answer of exact length.",
    "decode": "Tokens a second of one request after its first token: the tokens after the first "
    "over the time after the first.",
    "first_token": "Seconds from the question to the first token, measured in the worker. Where "
    "several ask at once it holds the time in line.",
    "together": "Tokens a second of all requests that were asked at once: their generated tokens "
    "over the time from the first question to the end of the last answer.",
    "spread": "Median of the repeats and, in brackets, the least and the most. Of several at once "
    "each request counts. One short answer before is not counted. Every input is another one, and "
    "a figure counts only if the engine found nothing of it in a cache.",
    "weights": "Bytes of the weights as loaded, tables included.",
    "cache": "KV cache that the load set aside; 0 where each answer takes its own.",
    "peak": "Most bytes of the worker while it answered: reserved on the card, or resident, "
    "looked at twice a second. On a CPU the program's own libraries count.",
    "load": "Seconds that the worker took to read and prepare the checkpoint. Start: from nothing "
    "to ready, the worker's start included (first precision). Swap: from the precision before to "
    "ready, with a short trial answer.",
    "limit": "Tokens a second that the memory allows one request: the rate at which this device "
    "was just measured to copy, reads and writes counted, over the bytes that each token must "
    "read (the weights without the table of embeddings, and the KV cache at its mean length). A "
    "copy is no perfect measure: on a CPU a write may first read, and weights that fit into its "
    "caches come faster than the memory, so the share can be above 100 %.",
    "share": "Decode over the limit.",
}

TRANSFORMERS = "Qwen2.5-7B-Instruct on one A100 80 GB, transformers 4.46.0 with FlashAttention "
TRANSFORMERS += "2.5.8, AutoGPTQ 0.7.1, AutoAWQ 0.2.6, 2,048 tokens out, batch 1 (Qwen "
TRANSFORMERS += "documentation, branch v2.5, speed benchmark)"
VLLM = "Qwen2.5-7B-Instruct on one A100 80 GB, vLLM 0.6.3, 2,048 tokens out, batch 1 (Qwen "
VLLM += "documentation, branch v2.5, speed benchmark)"
GUIDE = "the guide's 7B on an RTX 4090; it names no versions and no lengths"
# What they call the unquantised checkpoint.
BF16 = "the fp16 column is their BF16"


@dataclass(frozen=True)
class Published:
    """What others measured: tokens a second (prefill included), GB of memory, first token in
    milliseconds. None: not told."""

    source: str
    precision: Precision
    input_tokens: int | None
    tokens_per_second: float
    memory_gb: float | None = None
    first_token_ms: float | None = None


def _table(
    source: str, rows: Mapping[int, tuple[tuple[float, float | None], ...]]
) -> tuple[Published, ...]:
    names: tuple[Precision, ...] = ("fp16", "gptq-int8", "gptq-int4", "awq-int4")
    return tuple(
        Published(source, name, tokens, rate, memory)
        for tokens, figures in rows.items()
        for name, (rate, memory) in zip(names, figures, strict=True)
    )


OTHERS: tuple[Published, ...] = (
    *_table(
        TRANSFORMERS,
        {
            1: ((40.38, 14.38), (31.55, 8.42), (43.10, 5.52), (32.03, 5.39)),
            6_144: ((38.76, 15.38), (31.26, 9.43), (38.27, 6.52), (32.37, 6.39)),
            14_336: ((29.78, 16.91), (26.86, 10.96), (28.70, 8.05), (30.23, 7.92)),
            30_720: ((18.83, 19.97), (17.59, 14.01), (18.45, 11.11), (19.11, 10.98)),
        },
    ),
    *_table(
        VLLM,
        {
            1: ((84.28, None), (122.01, None), (154.05, None), (148.10, None)),
            6_144: ((80.70, None), (112.38, None), (141.98, None), (137.64, None)),
            14_336: ((77.69, None), (105.25, None), (129.35, None), (124.91, None)),
            30_720: ((70.33, None), (90.71, None), (108.30, None), (104.66, None)),
        },
    ),
    Published(GUIDE, "fp16", None, 48, 15.2, 120),
    Published(GUIDE, "gptq-int8", None, 67, 8.1, 95),
    Published(GUIDE, "gptq-int4", None, 82, 4.5, 80),
    Published(GUIDE, "awq-int4", None, 78, 4.7, 85),
)
