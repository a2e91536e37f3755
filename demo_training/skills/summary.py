"""Sums up a short passage in two of its own sentences: the first, and the one that concludes.

Where no sentence concludes (`In short, ...`), the second sentence stands in.
"""

from __future__ import annotations

import random

from demo_training import systems
from demo_training.dialogue import Dialogue
from demo_training.example import Example, Language, Split
from demo_training.grammar import expand
from demo_training.passage import draw_entities, draw_facts
from demo_training.sentences import about, filler, say
from demo_training.styles import Reply
from demo_training.words import table


def build(rng: random.Random, split: Split, language: Language) -> Example:
    talk = Dialogue(rng, split, language, systems.draw(rng, split, language, ("general",), plain=1))
    sentences, answer = sum_up(talk)
    check = {
        "kind": "summary",
        "sentences": sentences,
        "at_most": 2,
        "main": sentences[0],
    }
    assert answer, "a summary has at least one sentence"
    return talk.finish("summary", check)


def sum_up(talk: Dialogue) -> tuple[list[str], str]:
    """A turn that asks for a summary, its answer, and the passage's sentences."""
    rng, split, language = talk.rng, talk.split, talk.language
    of = draw_entities(rng, split, language, rng.choice((1, 1, 2)))
    facts = draw_facts(rng, split, language, of, 4)
    rows = [about(rng, split, language, of[0])]
    for told in facts:
        pronouns = rng.random() < 0.5 and told is facts[0]
        rows += [say(rng, language, one, pronouns) for one in told]
    for form in rng.sample(table(language, "frames")["filler"], rng.randint(1, 5)):
        rows.insert(rng.randint(1, len(rows)), filler(rng, split, language, form))
    second = rows[1]
    if rng.random() < 0.6:
        second = rng.choice(table(language, "frames")["close"]).format(e=of[0].name)
        rows.insert(rng.choice((len(rows), len(rows), rng.randint(2, len(rows)))), second)
    glue = " " if language == "en" else ""
    text = glue.join(rows)
    order = expand(rng, rng.choice(table(language, "summary")["ask"]))
    where = rng.choice(("{q}\n\n{t}", "{t}\n\n{q}", "{q} {t}", "{q}\n{t}", "{t} {q}"))
    talk.user(where.replace("{q}", order).replace("{t}", text))
    answer = glue.join((rows[0], second))
    talk.reply(Reply(answer, short=rows[0]))
    return rows, answer
