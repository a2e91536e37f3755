"""What each figure of a report means and where the definition comes from; what others measured.

Texts only. statistics.py computes, and its names are those of this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DEFINITIONS: Mapping[str, str] = {
    "kl": "Kullback-Leibler divergence D(reference || quantised) of the predictions for the next "
    "token, in nats, averaged over all positions of the text, teacher forced (Kullback and "
    "Leibler, On Information and Sufficiency, 1951; llama.cpp's perplexity tool reports it under "
    "--kl-divergence). Taken over the reference's likeliest ids and all others as one, which is "
    "never more than that over the whole vocabulary.",
    "flips": "Share of positions at which the likeliest next token is another than the "
    "reference's (100 % less the share that llama.cpp's tool calls same top).",
    "perplexity": "exp of the mean of minus the log-probability of the token that follows "
    "(Jelinek, Mercer, Bahl and Baker, 1977). Each position sees 256 to 511 tokens before it; the "
    "first 256 of a text see what there is.",
    "perplexity_ratio": "Perplexity over the reference's, from the differences at the same "
    "positions, so that its interval holds only what quantisation adds.",
    "tasks": "Share of tasks whose greedy answer passes the task's own rule and ends by itself.",
    "json_valid": "Share of answers to JSON instructions, without any constraint on tokens, that "
    "Python's json reads and jsonschema accepts; one code fence around the whole is allowed.",
    "quotations": "Share of quotations in the answers to quotation tasks that stand word for word "
    "on the page they name (the checker of the Documents tab). An answer without any where "
    "one was asked for counts as one that does not.",
    "interval": "95 %. Of kl, flips and perplexities: percentile bootstrap over blocks of 64 "
    "consecutive positions, because tokens of a text are not independent (Efron 1979; Künsch "
    "1989), 2,000 draws with a fixed seed. Of flips not narrower than Wilson's. Of shares: "
    "Wilson's score interval (1927).",
}


@dataclass(frozen=True)
class Published:
    """What others measured on the official Qwen2.5-7B-Instruct checkpoints."""

    precision: str
    kl: float
    flips: float


# Third party, to bfloat16; Qwen never published quality figures of the quantised 2.5 models.
OTHERS: tuple[Published, ...] = (
    Published("gptq-int8", 0.0006, 0.0067),
    Published("gptq-int4", 0.0283, 0.046),
    Published("awq-int4", 0.0425, 0.055),
)
OTHERS_LABEL = "others, on the official Qwen2.5-7B-Instruct"
