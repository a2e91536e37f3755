"""An advice in one language, flat and complete: what GET /api/advice and `advise --json` answer.

Values and the way to them; bytes and tokens unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from qwen_webui.advice.advise import command_line
from qwen_webui.advice.values import Advice, Machine, Option, Said
from qwen_webui.types import Use


@dataclass(frozen=True)
class SentenceTold:
    """A sentence and its source; an empty source: this machine."""

    text: str
    source: str


@dataclass(frozen=True)
class SpeedTold:
    """Tokens a second; `kind` is measured, estimate, limit or unknown; `basis` says from what."""

    tokens_per_second: float | None
    kind: str
    basis: SentenceTold


@dataclass(frozen=True)
class OptionTold:
    """A checkpoint on this machine. `spare` stays free; negative: it is missing."""

    name: str
    title: str
    size: str
    precision: str
    licence: str
    on_disk: bool
    weights: int
    kv_cache: int
    activations: int
    overhead: int
    needed: int
    spare: int
    fits: bool
    speed: SpeedTold


@dataclass(frozen=True)
class RunnerUpTold:
    """Another choice: larger, more_faithful or smaller; `text`: what it gives and costs."""

    kind: str
    text: str
    checkpoint: OptionTold


@dataclass(frozen=True)
class CardTold:
    """A graphics card, as CUDA orders them."""

    name: str
    free: int
    total: int


@dataclass(frozen=True)
class MachineTold:
    """What was advised for. `assumed`: it was named in the question, not looked at."""

    device: str
    name: str
    free: int
    total: int
    cards: tuple[CardTold, ...]
    assumed: bool


@dataclass(frozen=True)
class AdviceTold:
    """`recommended` is null where nothing fits, and `missing` says why; `command` starts this
    program as advised."""

    use: Use
    context: int
    machine: MachineTold
    recommended: OptionTold | None
    reasons: tuple[SentenceTold, ...]
    runners_up: tuple[RunnerUpTold, ...]
    warnings: tuple[SentenceTold, ...]
    missing: str | None
    command: str | None


def told(advice: Advice, language: str) -> AdviceTold:
    """`advice` in `language`, "zh" or else English."""
    return AdviceTold(
        use=advice.use,
        context=advice.context,
        machine=_machine(advice.machine),
        recommended=_option(advice.choice, language) if advice.choice else None,
        reasons=tuple(_sentence(said, language) for said in advice.reasons),
        runners_up=tuple(
            RunnerUpTold(one.kind, one.text.to(language), _option(one.option, language))
            for one in advice.runners_up
        ),
        warnings=tuple(_sentence(said, language) for said in advice.warnings),
        missing=advice.missing.to(language) if advice.missing else None,
        command=command_line(advice),
    )


def _machine(machine: Machine) -> MachineTold:
    cards = tuple(CardTold(card.name, card.free, card.total) for card in machine.cards)
    return MachineTold(
        machine.device, machine.name, machine.free, machine.total, cards, machine.assumed
    )


def _option(option: Option, language: str) -> OptionTold:
    spec, need, speed = option.spec, option.forecast, option.speed
    return OptionTold(
        name=spec.name,
        title=spec.title,
        size=spec.size,
        precision=spec.precision,
        licence=spec.licence,
        on_disk=spec.folder is not None,
        weights=need.weights,
        kv_cache=need.kv_cache,
        activations=need.activations,
        overhead=need.overhead,
        needed=need.needed,
        spare=option.spare,
        fits=need.fits,
        speed=SpeedTold(speed.tokens_per_second, speed.kind, _sentence(speed.basis, language)),
    )


def _sentence(said: Said, language: str) -> SentenceTold:
    return SentenceTold(said.text.to(language), said.source(language))
