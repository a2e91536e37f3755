"""The advisor's sentences that hold figures of the machine, in both languages. Decides nothing."""

from __future__ import annotations

from qwen_webui.advice import rules
from qwen_webui.advice.rules import FIDELITIES
from qwen_webui.advice.values import Machine, Option, Said, Speed, Text
from qwen_webui.memory import YARN_FACTOR

PRECISION_NAMES = {
    "fp16": Text("16-bit", "16 位"),
    "gptq-int8": Text("GPTQ-Int8", "GPTQ-Int8"),
    "gptq-int4": Text("GPTQ-Int4", "GPTQ-Int4"),
    "awq-int4": Text("AWQ-Int4", "AWQ-Int4"),
}


def gib(count: int) -> str:
    """Bytes as GiB with one decimal."""
    return f"{count / rules.GIB:.1f} GiB"


def name(option: Option) -> Text:
    """The size and the precision as people call them."""
    spec = option.spec
    precision = PRECISION_NAMES[spec.precision]
    head = f"Qwen2.5-{spec.size}-Instruct"
    return Text(f"{head} {precision.en}", f"{head} {precision.zh}")


def pace(speed: Speed) -> Text:
    """The figure, with what kind of figure it is."""
    value = speed.tokens_per_second
    if value is None:
        return Text("speed unknown", "速度未知")
    figure = f"{value:.0f}" if value >= 10 else f"{value:.1f}"
    forms = {
        "measured": Text(f"{figure} tokens/s, measured here", f"本机实测每秒 {figure} 个词元"),
        "estimate": Text(f"about {figure} tokens/s", f"约每秒 {figure} 个词元"),
        "limit": Text(f"at most {figure} tokens/s", f"最多每秒 {figure} 个词元"),
    }
    return forms[speed.kind]


def size_chosen(option: Option, machine: Machine) -> Said:
    """Why this size."""
    size, context = option.spec.size, option.forecast.context
    need, free = gib(option.forecast.needed), gib(option.forecast.free)
    if machine.device == "cpu":
        return Said(
            Text(
                f"{size} is the largest under Apache-2.0 that answers about as fast as people read "
                f"without a card, and fits: {need} of {free} free at {context:,} tokens.",
                f"{size} 是没有显卡时回答速度与阅读相当、采用 Apache-2.0 许可且放得下的最大规模："
                f"上下文 {context:,} 个词元需要 {need}，可用 {free}。",
            ),
            (rules.READING, rules.OWN),
        )
    return Said(
        Text(
            f"A larger model in fewer bits answers better than a smaller one in more; {size} fits "
            f"with {need} of {free} free at {context:,} tokens.",
            f"较大模型用较少位数，比较小模型用较多位数回答得更好；上下文 {context:,} 个词元时 "
            f"{size} 需要 {need}，可用 {free}，放得下。",
        ),
        (rules.SCALING, rules.OWN),
    )


def small_precision() -> Said:
    """Why a small size comes in 16 bits first."""
    text = Text(
        "Small models lose more by few bits and save little, so the most bits that fit are taken.",
        "小模型量化损失更大而节省不多，因此选择放得下的最高位数。",
    )
    return Said(text, (rules.GPTQ_PAPER,))


def fidelity(option: Option) -> Said | None:
    """What the quantisation costs, for 7B; None for 16 bit."""
    known = FIDELITIES.get(option.spec.precision)
    if known is None:
        return None
    label = PRECISION_NAMES[option.spec.precision]
    text = Text(
        f"{label.en} at 7B differs from BF16 by {known.kl:g} nats a token (KL divergence) and "
        f"picks another word in {known.flips:g} % of greedy steps.",
        f"{label.zh} 在 7B 上与 BF16 的 KL 散度为每词元 {known.kl:g} 奈特，贪心解码有 "
        f"{known.flips:g}% 的步骤选词不同。",
    )
    return Said(text, (rules.FIDELITY,))


def awq_against_gptq() -> Said:
    """Where the guide's advice and the figures differ."""
    gptq, awq = FIDELITIES["gptq-int4"], FIDELITIES["awq-int4"]
    text = Text(
        f"The guide's advice and the figures differ here: at 7B GPTQ-Int4 stayed closer to BF16 "
        f"(KL {gptq.kl:g}) than AWQ-Int4 ({awq.kl:g}). Try both with your own prompts.",
        f"此处指南与数据不一致：7B 上 GPTQ-Int4 更接近 BF16（KL {gptq.kl:g}），AWQ-Int4 为 "
        f"{awq.kl:g}。请用自己的提示词比较两者。",
    )
    return Said(text, (rules.GUIDE, rules.FIDELITY))


def check_citations(option: Option) -> Said:
    """For documents in four bits."""
    label = PRECISION_NAMES[option.spec.precision]
    text = Text(
        f"{label.en} is used for documents only because 8 bits do not fit: look at the checks "
        "below each citation.",
        f"仅因 8 位放不下才用 {label.zh} 处理文档：请留意每条引用下方的核对结果。",
    )
    return Said(text, (rules.CITATIONS,))


def yarn() -> Said:
    """Above the trained context."""
    text = Text(
        f"More than {rules.TRAINED_CONTEXT:,} tokens need YaRN (factor {YARN_FACTOR}), which is "
        "switched on then and may lower the quality of short texts.",
        f"超过 {rules.TRAINED_CONTEXT:,} 个词元需要 YaRN（因子 {YARN_FACTOR}），届时会自动启用，"
        "可能降低短文本的质量。",
    )
    return Said(text, (rules.MAKERS,))


def never_run(option: Option) -> Said:
    """A size that only formulas speak for."""
    size = option.spec.size
    text = Text(
        f"This program has not been run with {size} on a card yet: forecast and speed are computed "
        f"from rules fitted to {rules.FITTED_SIZE}.",
        f"本程序尚未在显卡上运行过 {size}：显存预测与速度均由按 {rules.FITTED_SIZE} "
        "拟合的规则推算。",
    )
    return Said(text, (rules.OWN,))


def one_card(machine: Machine) -> Said:
    """Several cards do not add up."""
    count, label = len(machine.cards), machine.name
    which_en, which_zh = (f", {label}", f"（{label}）") if label else ("", "")
    text = Text(
        f"Of {count} cards this program uses one{which_en}: the memory of the others is not added "
        "to it.",
        f"共有 {count} 块显卡，本程序只使用其中一块{which_zh}，其余显卡的显存不会相加。",
    )
    return Said(text, (rules.OWN,))


def other_card(uuid: str, label: str, free: int) -> Said:
    """A card with more room than the one in use."""
    text = Text(
        f"{label} has more free, {gib(free)}: to use it, start with CUDA_VISIBLE_DEVICES={uuid}.",
        f"{label} 可用显存更多（{gib(free)}）：如需使用，请以 CUDA_VISIBLE_DEVICES={uuid} 启动。",
    )
    return Said(text)


def tight(option: Option) -> Said:
    """Little stays free."""
    text = Text(
        f"Only {gib(option.spare)} stay free: close what else uses the memory.",
        f"仅剩 {gib(option.spare)} 可用：请关闭其他占用内存或显存的程序。",
    )
    return Said(text, (rules.OWN,))


def other_terms(sizes: list[tuple[str, str]]) -> Said:
    """Sizes that would fit and are never recommended; with their licences."""
    named = " / ".join(f"{size} ({licence})" for size, licence in sizes)
    text = Text(
        f"Would fit too, but is not under Apache-2.0 and therefore never recommended: {named}.",
        f"同样放得下，但并非 Apache-2.0 许可，因此不自动推荐：{named}。",
    )
    return Said(text, (rules.MAKERS,))


def assumed(machine: Machine) -> Said:
    """What was taken for a machine that was only named."""
    share = rules.TAKEN_SHARE[machine.device]
    text = Text(
        f"Assumed: {share:.0%} of the {gib(machine.total)} are taken by the system, "
        f"{gib(machine.free)} are free.",
        f"假定：{gib(machine.total)} 中的 {share:.0%} 已被系统占用，可用 {gib(machine.free)}。",
    )
    return Said(text)


def second_best(option: Option) -> Said:
    """The use's own precisions are not to be had; what is said of this one instead."""
    label = PRECISION_NAMES[option.spec.precision]
    text = Text(
        f"{label.en} is the best precision for this use that fits here or is on this disk.",
        f"{label.zh} 是此用途下这里放得下或已在本机磁盘上的最佳精度。",
    )
    return Said(text, (rules.OWN,))
