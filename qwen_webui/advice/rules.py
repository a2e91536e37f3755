"""The rules of the advice and their sources: one table to read and to change.

Only rules: advise.py applies them, memory.py forecasts, speed.py estimates. Because a use's order
never depends on the memory, more memory can never lead to a choice further down.
"""

from __future__ import annotations

from dataclasses import dataclass

from qwen_webui.advice.values import Option, Said, Text
from qwen_webui.checkpoints.catalogue import APACHE
from qwen_webui.types import CheckpointSpec, Device, Precision, Use

GIB = 2**30

# --- Where the figures come from -----------------------------------------------------------------
GUIDE = Text(
    "the guide to Qwen2.5-7B on an RTX 4090 that this program follows",
    "本程序所依据的 RTX 4090 上 Qwen2.5-7B 指南",
)
FIDELITY = Text(
    "third-party comparison of the official Qwen2.5-7B-Instruct checkpoints with BF16",
    "第三方对官方 Qwen2.5-7B-Instruct 各精度与 BF16 的比较",
)
CITATIONS = Text(
    "third-party drafting test of Qwen2.5-7B-Instruct, 1,000 cases",
    "第三方 Qwen2.5-7B-Instruct 起草测试，1,000 例",
)
MAKERS = Text("Qwen2.5 documentation and model cards", "Qwen2.5 文档与模型卡")
OWN = Text(
    "this program's memory rule (memory.py) and its runs (docs/log.md)",
    "本程序的内存规则（memory.py）及运行记录（docs/log.md）",
)
_SCALING = "Dettmers and Zettlemoyer 2023, The case for 4-bit precision, arXiv:2212.09720"
_GPTQ = "Frantar et al. 2023, GPTQ, arXiv:2210.17323"
_READING = "Brysbaert 2019, How many words do we read per minute?, doi:10.1016/j.jml.2019.104047"
SCALING, GPTQ_PAPER, READING = (Text(name, name) for name in (_SCALING, _GPTQ, _READING))


@dataclass(frozen=True)
class Fidelity:
    """How far a precision is from BF16: KL divergence in nats a token, greedy flips in percent."""

    kl: float
    flips: float


# Official 7B checkpoints; the maker published none for 2.5. Source: FIDELITY.
FIDELITIES: dict[Precision, Fidelity] = {
    "gptq-int8": Fidelity(0.0006, 0.67),
    "gptq-int4": Fidelity(0.0283, 4.6),
    "awq-int4": Fidelity(0.0425, 5.5),
}
# Share of cases whose citations passed, in percent. Source: CITATIONS.
CITATIONS_PASSED: dict[Precision, float] = {"fp16": 99.4, "awq-int4": 89.8}
# The next step towards the unquantised checkpoint, by FIDELITIES.
MORE_FAITHFUL: dict[Precision, Precision] = {
    "awq-int4": "gptq-int8",
    "gptq-int4": "gptq-int8",
    "gptq-int8": "fp16",
}

# --- Which size ----------------------------------------------------------------------------------
# More parameters first, even in fewer bits (SCALING). 3B and 72B are under other licences than
# Apache-2.0 and stand in no order: one click must not accept other terms.
LARGE = ("32B", "14B", "7B")
SMALL = ("1.5B", "0.5B")
# Of the small sizes least is saved and most is lost by few bits (GPTQ_PAPER).
SMALL_ORDER: tuple[Precision, ...] = ("fp16", "gptq-int8", "gptq-int4", "awq-int4")
# Above this many tokens YaRN is needed, and the makers have it for 7B and larger (MAKERS).
TRAINED_CONTEXT = 32_768
LONGEST_CONTEXT = 131_072
SHORTEST_CONTEXT = 256
# The memory rule is fitted to published rows of this size. Its error may grow with the model, so
# larger ones must leave this share of what they need.
FITTED_SIZE = "7B"
UNFITTED_LARGER = ("14B", "32B", "72B")
UNFITTED_MARGIN = 0.05
# Sizes that were loaded on a card by us, in every precision (OWN).
RUN_SIZES = ("7B", "0.5B")
# A CPU reads all weights once a token. 4 GiB at half of a desktop's 51.2 GB/s (two channels of
# DDR4-3200) are 6 tokens a second; people read 238 words a minute (READING), about 5 tokens.
CPU_COMFORT = 4 * GIB
# Less than this share of the memory left free is called tight.
TIGHT_SHARE = 0.05
# What system, desktop and driver hold of a machine that is only named: of a card, of a memory.
TAKEN_SHARE: dict[Device, float] = {"cuda": 0.05, "cpu": 0.25}


# --- Which precision, by use ---------------------------------------------------------------------
@dataclass(frozen=True)
class UseRule:
    """`groups`: all large sizes in the precisions of the first, then all in those of the next.
    `why` speaks for the precisions in `advised`."""

    groups: tuple[tuple[Precision, ...], ...]
    advised: tuple[Precision, ...]
    why: Said


_AWQ_FIRST: tuple[Precision, ...] = ("awq-int4", "gptq-int4", "gptq-int8", "fp16")


def _guide_awq(en: str, zh: str) -> UseRule:
    text = Text(
        f"For {en} the guide advises AWQ-Int4, as for production.",
        f"指南建议{zh}使用 AWQ-Int4，与生产环境相同。",
    )
    return UseRule((_AWQ_FIRST,), ("awq-int4",), Said(text, (GUIDE,)))


USE_RULES: dict[Use, UseRule] = {
    "chat": UseRule(
        (("gptq-int4", "awq-int4", "gptq-int8", "fp16"),),
        ("gptq-int4",),
        Said(
            Text(
                "For general chat and to get going the guide advises GPTQ-Int4: the smallest and "
                "the fastest.",
                "指南建议日常对话和入门使用 GPTQ-Int4：占用最小，速度最快。",
            ),
            (GUIDE,),
        ),
    ),
    "code": _guide_awq("code", "编写代码"),
    "mathematics": _guide_awq("mathematics", "数学"),
    "json": _guide_awq("JSON", "生成 JSON "),
    "documents": UseRule(
        (("gptq-int8", "fp16"), ("gptq-int4", "awq-int4")),
        ("gptq-int8", "fp16"),
        Said(
            Text(
                f"For documents 8 or 16 bits come first: BF16 passed a citation check in "
                f"{CITATIONS_PASSED['fp16']} % of cases, AWQ in {CITATIONS_PASSED['awq-int4']} %, "
                "the rest mostly made-up citations.",
                f"处理文档优先选择 8 位或 16 位：BF16 通过引用检查的比例为 "
                f"{CITATIONS_PASSED['fp16']}%，AWQ 为 {CITATIONS_PASSED['awq-int4']}%，"
                "其余多为编造的引用。",
            ),
            (CITATIONS,),
        ),
    ),
}


def order(use: Use) -> tuple[tuple[str, Precision], ...]:
    """Every (size, precision) that may be recommended for `use`, best first."""
    large = [(s, p) for group in USE_RULES[use].groups for s in LARGE for p in group]
    small: list[tuple[str, Precision]] = [(s, p) for s in SMALL for p in SMALL_ORDER]
    return (*large, *small)


def bytes_per_token(spec: CheckpointSpec) -> int:
    """What a step reads: every weight but the input embeddings, unless they are the output's."""
    shape = spec.shape
    table = 0 if shape.tied_embeddings else 2 * shape.vocabulary * shape.hidden
    return max(0, spec.weights_bytes - table)


def eligible(spec: CheckpointSpec, device: Device, context: int) -> bool:
    """Whether `spec` may be recommended at all, however much memory there is."""
    return (
        spec.family == "qwen2.5"
        and spec.licence == APACHE
        and (context <= TRAINED_CONTEXT or spec.size in LARGE)
        and (device == "cuda" or bytes_per_token(spec) <= CPU_COMFORT)
    )


def with_margin(option: Option) -> int:
    """Bytes that must be free for the option to be recommended."""
    margin = UNFITTED_MARGIN if option.spec.size in UNFITTED_LARGER else 0.0
    return round(option.forecast.needed * (1 + margin))


def has_room(option: Option) -> bool:
    """Whether it may be recommended by its forecast."""
    return with_margin(option) <= option.forecast.free
