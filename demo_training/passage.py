"""Builds a passage: sentences about one to four things, with filler, page marks and lists.

It keeps what each sentence tells, so that questions can be asked and quotations checked. Asking
is not its business.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from demo_training.sentences import about, filler, join, say, say_all
from demo_training.words import table
from demo_training.world import Attribute, Entity, Fact, attribute_for, entity, fact

LIMIT = {"en": 1150, "zh": 470}
"""Characters of a passage at most: about 400 tokens."""


@dataclass(frozen=True)
class Sentence:
    """One sentence as it stands in the passage, on which page, and the facts it tells."""

    text: str
    told: tuple[Fact, ...] = ()
    page: int | None = None


@dataclass(frozen=True)
class Passage:
    """A text, its sentences in order, and the things it is about."""

    text: str
    sentences: tuple[Sentence, ...]
    entities: tuple[Entity, ...]

    @property
    def facts(self) -> list[tuple[Fact, Sentence]]:
        return [(one, sentence) for sentence in self.sentences for one in sentence.told]

    @property
    def paged(self) -> bool:
        return self.sentences[0].page is not None


@dataclass(frozen=True)
class Shape:
    """What kind of passage is wanted. `None` leaves it to chance."""

    entities: int | None = None
    paged: bool | None = None
    listed: bool | None = None
    facts: int = 4
    short: bool = False
    extra: tuple[str, ...] = field(default=())
    """Sentences put in as they are, at random places (an instruction, for instance)."""


def draw_entities(rng: random.Random, split: str, language: str, many: int) -> list[Entity]:
    """Things with different names, often of one kind, so that they must be told apart."""
    kind = rng.choice(tuple(table(language, "kinds"))) if rng.random() < 0.6 else None
    found: list[Entity] = []
    while len(found) < many:
        new = entity(rng, split, language, kind)
        if all(new.name not in old.name and old.name not in new.name for old in found):
            found.append(new)
    return found


def draw_facts(
    rng: random.Random, split: str, language: str, of: list[Entity], most: int
) -> list[list[Fact]]:
    """One to `most` facts for each thing; what one has told, the others often have, too."""
    shared: list[Attribute] = []
    found = []
    for one in of:
        own: dict[str, Attribute] = {}
        for _ in range(rng.randint(1, most)):
            fitting = [old for old in shared if one.kind == of[0].kind]
            if fitting and rng.random() < 0.55:
                what = rng.choice(fitting)
            else:
                what = attribute_for(rng, language, one.kind)
            own.setdefault(what.label, what)
        shared.extend(own.values())
        found.append([fact(rng, split, language, one, what) for what in own.values()])
    return found


def build(rng: random.Random, split: str, language: str, shape: Shape = Shape()) -> Passage:
    """A passage of the shape asked for."""
    many = shape.entities or rng.choices((1, 2, 3, 4), (28, 35, 23, 14))[0]
    entities = draw_entities(rng, split, language, many)
    facts = draw_facts(rng, split, language, entities, shape.facts)
    paged = rng.random() < 0.3 if shape.paged is None else shape.paged
    listed = not paged and (rng.random() < 0.06 if shape.listed is None else shape.listed)
    if listed:
        return _listed(rng, entities, facts)
    rows = _grouped(rng, split, language, entities, facts)
    if rng.random() < 0.25:
        rng.shuffle(rows)
        rows = [_by_name(rng, language, row) if row.told else row for row in rows]
    scatter(rng, split, language, rows, shape.extra, most=2 if shape.short else 16)
    return page_up(rng, language, rows, tuple(entities), paged)


def _grouped(
    rng: random.Random, split: str, language: str, entities: list[Entity], facts: list[list[Fact]]
) -> list[Sentence]:
    rows = []
    for of, told in zip(entities, facts, strict=True):
        named = rng.random() < 0.75
        if named:
            first = about(rng, split, language, of)
            if rng.random() < 0.12:
                first = join(language, of, first, say(rng, language, told[0]))
                rows.append(Sentence(first, (told.pop(0),)))
            else:
                rows.append(Sentence(first))
        pronouns = rng.random() < 0.4
        while told:
            many = 2 if rng.random() < 0.15 else 1
            some, told = told[:many], told[many:]
            rows.append(Sentence(say_all(rng, language, some, named and pronouns), tuple(some)))
            named = True
    return rows


def _by_name(rng: random.Random, language: str, row: Sentence) -> Sentence:
    return Sentence(say_all(rng, language, row.told), row.told)


def scatter(
    rng: random.Random,
    split: str,
    language: str,
    rows: list[Sentence],
    extra: Sequence[str],
    most: int = 16,
) -> None:
    """Puts extra and filler sentences in. Filler never stands before a pronoun's sentence."""
    size = sum(len(row.text) + 1 for row in rows) + sum(map(len, extra))
    wanted = rng.randint(0, min(most, rng.choice((3, 8, 16))))
    places = [i for i in range(len(rows) + 1) if i == len(rows) or not _leans(language, rows[i])]
    inserts = [(rng.choice(places), text) for text in extra]
    for form in rng.sample(table(language, "frames")["filler"], wanted):
        text = filler(rng, split, language, form)
        size += len(text) + 1
        if size > LIMIT[language]:
            break
        inserts.append((rng.choice(places), text))
    inserts.sort(key=lambda item: item[0], reverse=True)
    for place, text in inserts:
        rows.insert(place, Sentence(text))


def _leans(language: str, row: Sentence) -> bool:
    return bool(row.told) and row.told[0].entity.name.lower() not in row.text.lower()


def page_up(
    rng: random.Random,
    language: str,
    rows: list[Sentence],
    entities: tuple[Entity, ...],
    paged: bool,
) -> Passage:
    """Joins sentences to a passage, with page marks or without."""
    glue = " " if language == "en" else ""
    if not paged:
        breaks = 0.08 if len(rows) > 5 else 0.0
        text = rows[0].text
        for row in rows[1:]:
            text += ("\n" if rng.random() < breaks else glue) + row.text
        return Passage(text, tuple(rows), entities)
    inline = rng.random() < 0.25
    many = min(len(rows), rng.choice((1, 2, 2, 3, 3, 4, 5)) if rng.random() < 0.9 else 9)
    starts = {0, *rng.sample(range(1, len(rows)), many - 1)}
    page = rng.choice((1, 1, rng.randint(1, 99), rng.randint(1, 400))) - 1
    gaps = rng.random() < 0.4
    text, marked = "", []
    for i, row in enumerate(rows):
        if i in starts:
            page += rng.randint(1, 9) if gaps and i else 1
            before = (" " if inline and rng.random() < 0.5 else "\n") if text else ""
            text += f"{before}[p. {page}]{' ' if inline else chr(10)}{row.text}"
        else:
            text += glue + row.text
        marked.append(Sentence(row.text, row.told, page))
    return Passage(text, tuple(marked), entities)


def _listed(rng: random.Random, entities: list[Entity], facts: list[list[Fact]]) -> Passage:
    """A list of properties under each name, as on a card or in a table."""
    mark, colon = rng.choice(("- ", "", "* ", "  ")), rng.choice((": ", "：", " = ", " | "))
    rows, lines = [], []
    for of, told in zip(entities, facts, strict=True):
        lines.append(of.start + rng.choice(("", ":", "")))
        for one in told:
            rows.append(Sentence(f"{one.attribute.label}{colon}{one.value}", (one,)))
            lines.append(mark + rows[-1].text)
    return Passage("\n".join(lines), tuple(rows), tuple(entities))
