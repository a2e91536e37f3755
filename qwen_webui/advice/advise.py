"""Which size and precision of Qwen2.5, for a machine, a use and a context.

The first of the use's order (rules.py) whose forecast (memory.py) fits. Loads and downloads
nothing, and looks at nothing: the machine is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from qwen_webui.advice import words
from qwen_webui.advice.others import nothing_fits, runners_up
from qwen_webui.advice.rules import (
    LARGE,
    LONGEST_CONTEXT,
    RUN_SIZES,
    SHORTEST_CONTEXT,
    TIGHT_SHARE,
    TRAINED_CONTEXT,
    USE_RULES,
    eligible,
    has_room,
    order,
)
from qwen_webui.advice.speed import expected_speed
from qwen_webui.advice.values import Advice, Machine, Option, Said
from qwen_webui.checkpoints.catalogue import APACHE
from qwen_webui.errors import InvalidRequest
from qwen_webui.memory import DEFAULT_CONTEXT, forecast
from qwen_webui.types import CheckpointSpec, Use


def advise(
    specs: Iterable[CheckpointSpec],
    machine: Machine,
    use: Use = "chat",
    context: int = DEFAULT_CONTEXT,
    *,
    measured: Mapping[str, float] | None = None,
) -> Advice:
    """`specs`: what can be loaded; `measured`: this machine's own tokens a second by name. Raises
    InvalidRequest for a context that no Qwen2.5 has."""
    if not SHORTEST_CONTEXT <= context <= LONGEST_CONTEXT:
        raise InvalidRequest(
            f"A context of {context:,} tokens cannot be advised on; give {SHORTEST_CONTEXT} to "
            f"{LONGEST_CONTEXT:,}.",
            param="context",
        )
    known = tuple(specs)
    if machine.problem is not None:
        return Advice(machine, use, context, None, (), (), (), machine.problem)
    options = [option(spec, machine, context, measured) for spec in ranked(known, machine, use)]
    options = [one for one in options if eligible(one.spec, machine.device, context)]
    choice = next((one for one in options if has_room(one)), None)
    if choice is None:
        missing = nothing_fits(options, machine, context)
        return Advice(machine, use, context, None, (), (), _of_machine(machine), missing)
    every = [option(spec, machine, context, measured) for spec in known if spec.size]
    return Advice(
        machine,
        use,
        context,
        choice,
        _reasons(choice, machine, use),
        runners_up(choice, options, every),
        (*_warnings(choice, use), *_of_machine(machine), *_other_terms(choice, every, machine)),
    )


def usual_context(max_context: int | None) -> int:
    """The context to advise on when none is named: what --max-context says, as far as there is
    advice on it."""
    wanted = max_context or DEFAULT_CONTEXT
    return min(max(wanted, SHORTEST_CONTEXT), LONGEST_CONTEXT)


def command_line(advice: Advice) -> str | None:
    """What starts this program as advised; None where nothing fits."""
    if advice.choice is None:
        return None
    return f"python app.py --model {advice.choice.spec.name} --max-context {advice.context}"


def ranked(specs: Sequence[CheckpointSpec], machine: Machine, use: Use) -> list[CheckpointSpec]:
    """Those that stand in the use's order, best first."""
    places = {pair: place for place, pair in enumerate(order(use))}
    found = [s for s in specs if s.family == "qwen2.5" and (s.size, s.precision) in places]
    return sorted(found, key=lambda spec: places[spec.size, spec.precision])


def option(
    spec: CheckpointSpec,
    machine: Machine,
    context: int,
    measured: Mapping[str, float] | None = None,
) -> Option:
    """`spec` on `machine`: its forecast and its speed."""
    need = forecast(
        spec, context=context, device=machine.device, free=machine.free, total=machine.total
    )
    return Option(spec, need, expected_speed(spec, machine, measured))


def _reasons(choice: Option, machine: Machine, use: Use) -> tuple[Said, ...]:
    spec = choice.spec
    why = USE_RULES[use].why
    if spec.size not in LARGE:
        why = words.small_precision()
    elif spec.precision not in USE_RULES[use].advised:
        why = words.second_best(choice)
    cost = words.fidelity(choice)
    return (words.size_chosen(choice, machine), why, *([cost] if cost else []))


def _warnings(choice: Option, use: Use) -> tuple[Said, ...]:
    spec, found = choice.spec, []
    if choice.forecast.context > TRAINED_CONTEXT:
        found.append(words.yarn())
    if use == "documents" and spec.precision.endswith("int4"):
        found.append(words.check_citations(choice))
    if spec.precision == "awq-int4":
        found.append(words.awq_against_gptq())
    if spec.size not in RUN_SIZES and choice.forecast.device == "cuda":
        found.append(words.never_run(choice))
    if choice.spare < TIGHT_SHARE * choice.forecast.total:
        found.append(words.tight(choice))
    return tuple(found)


def _of_machine(machine: Machine) -> tuple[Said, ...]:
    found = []
    if machine.assumed:
        found.append(words.assumed(machine))
    if machine.device == "cuda" and len(machine.cards) > 1:
        found.append(words.one_card(machine))
        roomiest = max(machine.cards, key=lambda card: card.free)
        if roomiest.uuid and roomiest.free > max(machine.free, machine.cards[0].free):
            found.append(words.other_card(roomiest.uuid, roomiest.name, roomiest.free))
    return tuple(found)


def _other_terms(choice: Option, every: Sequence[Option], machine: Machine) -> tuple[Said, ...]:
    """Larger sizes under other licences that would fit."""
    mine = choice.spec.shape.layers * choice.spec.shape.hidden**2
    sizes = {
        one.spec.size: one.spec.licence
        for one in every
        if one.spec.family == "qwen2.5"
        and one.spec.licence != APACHE
        and one.spec.shape.layers * one.spec.shape.hidden**2 > mine
        and has_room(one)
        and machine.device == "cuda"
    }
    return (words.other_terms(list(sizes.items())),) if sizes else ()
