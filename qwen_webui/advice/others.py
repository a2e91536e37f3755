"""What else there is beside the choice: the next larger, more faithful and smaller one, with what
each would give and cost; and what is missing where nothing fits."""

from __future__ import annotations

from collections.abc import Sequence

from qwen_webui.advice import words
from qwen_webui.advice.rules import (
    FIDELITIES,
    GIB,
    LARGE,
    MORE_FAITHFUL,
    SMALL,
    TRAINED_CONTEXT,
    has_room,
    with_margin,
)
from qwen_webui.advice.values import Machine, Option, RunnerUp, Text
from qwen_webui.memory import STEP, forecast

SIZES_DOWN = (*LARGE, *SMALL)


def longest_context(option: Option) -> int:
    """The most tokens, in steps of 256, that fit on the option's machine; 0 if not even one step
    does. Never more than its forecast's context."""
    need = option.forecast
    low, high = 0, need.context // STEP
    while low < high:
        middle = (low + high + 1) // 2
        at = forecast(
            option.spec,
            context=middle * STEP,
            device=need.device,
            free=need.free,
            total=need.total,
        )
        low, high = (middle, high) if at.fits else (low, middle - 1)
    return low * STEP


def runners_up(
    choice: Option, options: Sequence[Option], every: Sequence[Option]
) -> tuple[RunnerUp, ...]:
    """`options`: all that may be recommended, best first; `every`: the catalogue too."""
    found = []
    larger = _larger(choice, options, every)
    if larger is not None:
        found.append(RunnerUp("larger", larger, _text(larger, choice, "larger")))
    faithful = _faithful(choice, every)
    if faithful is not None:
        found.append(RunnerUp("more_faithful", faithful, _text(faithful, choice, "faithful")))
    smaller = _smaller(choice, options)
    if smaller is not None:
        found.append(RunnerUp("smaller", smaller, _text(smaller, choice, "smaller")))
    return tuple(found)


def nothing_fits(options: Sequence[Option], machine: Machine, context: int) -> Text:
    """The least demanding option, and by how much it is too large."""
    device = Text("on the card", "显存") if machine.device == "cuda" else Text("here", "内存")
    if not options:
        return _none_eligible(machine, context)
    least = min(options, key=with_margin)
    name, need, free = words.name(least), with_margin(least), least.forecast.free
    longest = longest_context(least)
    more = words.gib(max(0, need - free))
    ways_en = f"A context of {longest:,} tokens would fit." if longest else "Free some memory."
    ways_zh = f"缩短到 {longest:,} 个词元则放得下。" if longest else "请释放一些内存或显存。"
    return Text(
        f"Nothing fits: the smallest for {context:,} tokens, {name.en}, needs {words.gib(need)}, "
        f"and {words.gib(free)} are free {device.en}: {more} are missing. {ways_en}",
        f"没有放得下的模型：上下文 {context:,} 个词元时最小的 {name.zh} 需要 {words.gib(need)}，"
        f"{device.zh}可用 {words.gib(free)}，还差 {more}。{ways_zh}",
    )


def _none_eligible(machine: Machine, context: int) -> Text:
    """No rule allows any, however much memory there is."""
    if machine.device == "cpu" and context > TRAINED_CONTEXT:
        return Text(
            f"More than {TRAINED_CONTEXT:,} tokens need 7B or a larger size, and without a card "
            "those answer slower than people read. Choose a shorter context, or load one yourself "
            "from the list.",
            f"超过 {TRAINED_CONTEXT:,} 个词元需要 7B 或更大的模型，而没有显卡时其回答速度低于阅读"
            "速度。请缩短上下文，或自行从列表中加载。",
        )
    return Text(
        "No checkpoint of Qwen2.5 that can be loaded here is advised for this context. Choose a "
        "shorter context, or load one yourself from the list.",
        "这里没有可按该上下文长度推荐的 Qwen2.5 模型。请缩短上下文，或自行从列表中加载。",
    )


def _larger(choice: Option, options: Sequence[Option], every: Sequence[Option]) -> Option | None:
    """The next size up in its best precision, whether it fits or not."""
    place = SIZES_DOWN.index(choice.spec.size)
    if place == 0:
        return None
    size = SIZES_DOWN[place - 1]
    may = [one for one in options if one.spec.size == size]
    # Without a card larger ones are in no order, for they are slow.
    may = may or [one for one in every if (one.spec.family, one.spec.size) == ("qwen2.5", size)]
    # A few megabytes decide nothing; among equals the first in the use's order counts.
    return min(may, key=lambda one: round(one.forecast.needed / GIB, 1), default=None)


def _faithful(choice: Option, every: Sequence[Option]) -> Option | None:
    wanted = MORE_FAITHFUL.get(choice.spec.precision)
    size = choice.spec.size
    same = [one for one in every if (one.spec.family, one.spec.size) == ("qwen2.5", size)]
    return next((one for one in same if one.spec.precision == wanted), None)


def _smaller(choice: Option, options: Sequence[Option]) -> Option | None:
    place = SIZES_DOWN.index(choice.spec.size)
    below = SIZES_DOWN[place + 1 :]
    return next((one for one in options if one.spec.size in below[:1] and one.spare >= 0), None)


def _text(other: Option, choice: Option, kind: str) -> Text:
    """Its name, what it gives, what it takes."""
    gives = {
        "larger": Text("answers better", "回答更好"),
        "faithful": _closer(other),
        "smaller": Text("is faster and leaves more free", "更快，留出更多空间"),
    }[kind]
    name, room = words.name(other), _room(other, choice)
    if other.speed.tokens_per_second is None or choice.speed.tokens_per_second is None:
        return Text(f"{name.en} {gives.en}; {room.en}", f"{name.zh}：{gives.zh}；{room.zh}")
    pace, own = words.pace(other.speed), words.pace(choice.speed)
    return Text(
        f"{name.en} {gives.en}: {pace.en} instead of {own.en}; {room.en}",
        f"{name.zh}：{gives.zh}；{pace.zh}（所选为{own.zh}）；{room.zh}",
    )


def _closer(other: Option) -> Text:
    known = FIDELITIES.get(other.spec.precision)
    if known is None:
        return Text("is the unquantised model", "是未量化的模型")
    return Text(
        f"is closer to BF16 (KL {known.kl:g} at 7B)", f"更接近 BF16（7B 的 KL 为 {known.kl:g}）"
    )


def _room(other: Option, choice: Option) -> Text:
    if other.spare < 0:
        longest = longest_context(other)
        en = f", and fits with a context of {longest:,}" if longest else ""
        zh = f"，上下文 {longest:,} 时放得下" if longest else ""
        gap = words.gib(-other.spare)
        return Text(f"it is {gap} too large{en}.", f"超出 {gap}{zh}。")
    if not has_room(other):
        left = words.gib(other.spare)
        return Text(
            f"it fits by the forecast, but would leave only {left}.",
            f"按预测放得下，但仅剩 {left}。",
        )
    change = other.forecast.needed - choice.forecast.needed
    size = words.gib(abs(change))
    if change >= 0:
        return Text(f"it takes {size} more and fits.", f"多占 {size}，放得下。")
    return Text(f"it takes {size} less.", f"少占 {size}。")
