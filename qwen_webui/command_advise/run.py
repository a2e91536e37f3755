"""From the flags to the advice, and the advice as lines or as one JSON object."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TextIO

from qwen_webui.advice import (
    Advice,
    Machine,
    Said,
    advise,
    command_line,
    imagined,
    this_machine,
    usual_context,
)
from qwen_webui.advice.told import told
from qwen_webui.advice.words import gib, name, pace
from qwen_webui.checkpoints import Library
from qwen_webui.measure.speed import measured_here
from qwen_webui.settings import Settings
from qwen_webui.types import Use


@dataclass(frozen=True)
class Question:
    """The command's own flags. `memory` in GiB of each card; `card` is the cards' name."""

    use: Use
    context: int | None
    memory: float | None
    cards: int | None
    card: str
    language: str
    as_json: bool


def advise_here(settings: Settings, question: Question, out: TextIO) -> int:
    """Print the advice; 0 when something fits, else 1. Raises InvalidRequest."""
    specs = Library(
        settings.data_dir / "models",
        hub=settings.hub,
        endpoint=settings.hub_endpoint,
        offline=True,
    ).all()
    usable = [spec for spec in specs if spec.folder or not settings.offline]
    context = question.context
    if context is None:
        context = usual_context(settings.max_context)
    machine = _machine(settings, question)
    measured = measured_here(settings.data_dir, machine.room, settings.engine_path)
    advice = advise(usable, machine, question.use, context, measured=measured)
    if question.as_json:
        whole = asdict(told(advice, question.language))
        print(json.dumps(whole, ensure_ascii=False, indent=2), file=out)
    else:
        _print(advice, question.language, out)
    return 0 if advice.choice else 1


def _machine(settings: Settings, question: Question) -> Machine:
    if question.memory is None and question.cards is None and not question.card:
        return this_machine(settings.device)
    return imagined(question.memory, question.cards, question.card)


HEADS = {
    "en": ("why", "or", "note", "memory", "speed", "start"),
    "zh": ("理由", "或者", "注意", "内存", "速度", "启动"),
}
# Of a forecast, in its order.
PARTS = {
    "en": ("weights", "KV cache", "activations", "overhead"),
    "zh": ("权重", "KV 缓存", "激活", "其他"),
}


def _print(advice: Advice, language: str, out: TextIO) -> None:
    why, other, note, memory, speed, start = HEADS[language]
    machine = advice.machine
    count = f"{len(machine.cards)} x " if len(machine.cards) > 1 else ""
    label = f"{count}{machine.name or machine.device}"
    print(f"{label}: {gib(machine.free)} / {gib(machine.total)}", file=out)
    if advice.missing is not None:
        print(advice.missing.to(language), file=out)
    if advice.choice is not None:
        choice = advice.choice
        need = choice.forecast
        print(f"{advice.use}, {advice.context:,}: {name(choice).to(language)}", file=out)
        parts = (need.weights, need.kv_cache, need.activations, need.overhead)
        named = zip(PARTS[language], parts, strict=True)
        added = " + ".join(f"{label} {gib(part)}" for label, part in named)
        print(f"{memory}: {added} = {gib(need.needed)}; {gib(choice.spare)} free", file=out)
        print(
            f"{speed}: {pace(choice.speed).to(language)}. {_sourced(choice.speed.basis, language)}",
            file=out,
        )
    for said in advice.reasons:
        print(f"{why}: {_sourced(said, language)}", file=out)
    for runner in advice.runners_up:
        print(f"{other}: {runner.text.to(language)}", file=out)
    for said in advice.warnings:
        print(f"{note}: {_sourced(said, language)}", file=out)
    if (line := command_line(advice)) is not None:
        print(f"{start}: {line}", file=out)


def _sourced(said: Said, language: str) -> str:
    source = said.source(language)
    return said.text.to(language) + (f" [{source}]" if source else "")
