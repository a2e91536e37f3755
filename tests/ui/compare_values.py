"""A finished comparison to show, and one under way."""

from __future__ import annotations

from dataclasses import replace

from qwen_webui.comparison.values import Answer, Column, Comparison, Difference, Prompt, Wanted
from qwen_webui.types import Message, Sampling, Usage

ID, OWNER = "d" * 32, "a" * 32
USAGE = Usage(12, 40, 0, 0.1, 2.1)

NAMES = {
    "fp16": "16-bit",
    "gptq-int8": "GPTQ Int8",
    "gptq-int4": "GPTQ Int4",
    "awq-int4": "AWQ Int4",
}


def prompt(text: str) -> Prompt:
    return Prompt(text, (Message("user", text),))


def answer(text: str, **more: object) -> Answer:
    return replace(Answer(text, usage=USAGE, ended="stop"), **more)  # type: ignore[arg-type]


def column(precision: str, *answers: Answer, **more: object) -> Column:
    made = Column(
        f"demo-{precision}",
        f"Embedded demo, {NAMES[precision]}",
        precision,  # type: ignore[arg-type]
        "done",
        answers,
        kernel="marlin",
        device_name="A Card",
        load_seconds=1.5,
        weights_bytes=5 << 20,
        cache_bytes=1 << 20,
        peak_bytes=7 << 20,
        tokens_per_second=20.0,
        first_token_seconds=0.1,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def finished(*columns: Column, **more: object) -> Comparison:
    """One prompt, two columns that differ unless others are given."""
    shown = columns or (
        column("fp16", answer("The sky is blue.")),
        column(
            "gptq-int4",
            answer("The sky is red.", equal=False, difference=Difference(3, 11, " blue", " red")),
            tokens_per_second=40.0,
            peak_bytes=3 << 20,
        ),
    )
    wanted = Wanted(
        tuple(c.checkpoint for c in shown), (prompt("Which colour?"),), Sampling(temperature=0.0)
    )
    made = Comparison(ID, OWNER, "2026-03-01T10:20:00+00:00", "done", wanted, tuple(shown))
    return replace(made, **more)  # type: ignore[arg-type]
