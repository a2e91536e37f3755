"""Passages about what people did, and questions for who, what, where and when.

The answer restates the question, as for attributes. Two people often did the same, or handled the
same thing, so that they must be told apart.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from demo_training import values
from demo_training.dialogue import Dialogue
from demo_training.passage import Passage, Sentence, page_up, scatter
from demo_training.questions import dress
from demo_training.styles import Reply
from demo_training.words import table

LABELS = {
    "en": {"who": "person", "what": "thing", "where": "place", "when": "time"},
    "zh": {"who": "人物", "what": "物品", "where": "地点", "when": "时间"},
}


@dataclass(frozen=True)
class Event:
    """Someone did something with something, at a place and a time that may be untold (empty)."""

    who: str
    verb: str
    base: str
    what: str
    where: str
    when: str

    def asked(self, asked: str) -> str:
        """What is asked for; empty if it is not told."""
        return {"who": self.who, "what": self.what, "where": self.where, "when": self.when}[asked]

    def put(self, form: str) -> str:
        text = form.format(
            w=self.who,
            v=self.verb,
            b=self.base,
            o=self.what,
            p=self.where,
            t=self.when,
            P=self.where[:1].upper() + self.where[1:],
            T=self.when[:1].upper() + self.when[1:],
        )
        return text[0].upper() + text[1:]


def draw(rng: random.Random, split: str, language: str) -> tuple[Event, str]:
    """An event and the sentence that tells it."""
    rows: dict[str, Any] = table(language, "events")
    verb, _, base = rng.choice(rows["verbs"]).partition(":")
    form: str = rng.choice(rows["say"])
    place = rng.choice(rows["place"]).format(p=values.place(rng, split, language))
    time = rng.choice(rows["time"]).format(
        d=values.date(rng, split, language),
        y=values.year(rng, split, language),
        k=values.clock(rng, split, language),
    )
    what = values.thing(rng, split, language)
    event = Event(values.person(rng, split, language), verb, base or verb, what, place, time)
    if "{p}" not in form and "{P}" not in form:
        event = replace(event, where="")
    if "{t}" not in form and "{T}" not in form:
        event = replace(event, when="")
    return event, event.put(form)


class Story:
    """A passage of events put into a conversation, with questions."""

    def __init__(self, talk: Dialogue, paged: bool) -> None:
        rng, split, language = talk.rng, talk.split, talk.language
        self.talk = talk
        drawn = [draw(rng, split, language) for _ in range(rng.choice((1, 2, 3, 3, 4, 5)))]
        rows = [Sentence(text) for _, text in drawn]
        self.events = {text: event for event, text in drawn}
        scatter(rng, split, language, rows, ())
        self.passage: Passage = page_up(rng, language, rows, (), paged)
        self._shown = False

    def question(self, answered: bool) -> tuple[Reply, Sentence | None]:
        """Asks, and gives back the answer and the sentence it rests on."""
        rng, language = self.talk.rng, self.talk.language
        told = [row for row in self.passage.sentences if row.text in self.events]
        row = rng.choice(told)
        event = self.events[row.text]
        names = [name for name in ("who", "what", "where", "when") if event.asked(name)]
        asked = rng.choice(names)
        if not answered:
            event, asked = self._untold(event)
        forms = table(language, "events")[asked]
        self._ask(event.put(rng.choice(forms["ask"])))
        labels = LABELS[language]
        first = ("who",) if asked != "who" else ()
        second = ("what",) if asked != "what" else ()
        reply = Reply(
            event.put(forms["answer"]),
            labels[asked],
            event.asked(asked),
            about=forms["about"].format(w=event.who, v=event.verb, o=event.what),
            known=tuple((labels[name], event.asked(name)) for name in first + second),
        )
        if not answered:
            return replace(reply, text=event.put(forms["missing"]), value=None), None
        shown = self.passage.paged or self.talk.persona == "analyst"
        if shown:
            reply = replace(reply, quote=row.text, page=row.page)
        return reply, row

    def _untold(self, event: Event) -> tuple[Event, str]:
        """An event that differs in one point from one that is told, and what to ask for."""
        rng, split, language = self.talk.rng, self.talk.split, self.talk.language
        missing = [name for name in ("where", "when") if not event.asked(name)]
        if missing and rng.random() < 0.5:
            return event, rng.choice(missing)
        if rng.random() < 0.5:
            return replace(event, who=values.person(rng, split, language)), "what"
        return replace(event, what=values.thing(rng, split, language)), "who"

    def _ask(self, text: str) -> None:
        rng, language = self.talk.rng, self.talk.language
        text = dress(rng, language, text)
        if not self._shown:
            form: str = rng.choice(table(language, "frames")["together"])
            text = form.replace("{t}", self.passage.text).replace("{q}", text)
            self._shown = True
        self.talk.user(text)
