"""Questions about a passage: which to ask, what the answer is, and where the passage stands."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from demo_training.chat import small_talk
from demo_training.dialogue import Dialogue
from demo_training.passage import Passage, Sentence
from demo_training.questions import ask
from demo_training.styles import Reply
from demo_training.systems import System
from demo_training.words import table
from demo_training.world import Attribute, Entity, attribute_for, entity


@dataclass(frozen=True)
class Query:
    """What is asked: an attribute of a thing. `sentence` tells the value, unless none does."""

    entity: Entity
    attribute: Attribute
    value: str | None = None
    sentence: Sentence | None = None


def answered(rng: random.Random, passage: Passage, beside: Sequence[Query] = ()) -> Query:
    """A question that the passage answers, a new one if there is one."""
    asked = [query.value for query in beside]
    told = [(one, where) for one, where in passage.facts if one.value not in asked]
    one, where = rng.choice(told or passage.facts)
    return Query(one.entity, one.attribute, one.value, where)


def unanswered(rng: random.Random, split: str, language: str, passage: Passage) -> Query:
    """A question that it does not answer; half of them about what it tells of another thing."""
    told = [one for one, _ in passage.facts]
    known = {(one.entity.name, one.attribute.label) for one in told}
    if rng.random() < 0.5:
        pairs = [
            Query(of, one.attribute)
            for of in passage.entities
            for one in told
            if of.kind == one.entity.kind and (of.name, one.attribute.label) not in known
        ]
        if pairs:
            return rng.choice(pairs)
    if rng.random() < 0.2:
        stranger = entity(rng, split, language, passage.entities[0].kind)
        if stranger.name not in passage.text:
            return Query(stranger, rng.choice(told).attribute)
    of = rng.choice(passage.entities)
    while True:
        what = attribute_for(rng, language, of.kind)
        if (of.name, what.label) not in known:
            return Query(of, what)


def answer(language: str, query: Query, quoted: bool) -> Reply:
    """The answer restates the question, so that the decision comes after thing and attribute."""
    of, label = query.entity.name, query.attribute.label
    english = language == "en"
    about = f"{label} of {of}" if english else f"{of}的{label}"
    known = (("name" if english else "名称", of),)
    value = query.value
    if value is None:
        text = (
            f"The {about} is not mentioned in the passage."
            if english
            else f"{about}在文中没有提到。"
        )
        return Reply(text, label, None, about=about, known=known)
    where = query.sentence if quoted else None
    return Reply(
        f"The {about} is {value}." if english else f"{about}是{value}。",
        label,
        value,
        where.text if where else None,
        where.page if where else None,
        about=about,
        known=known,
    )


class Reader:
    """Puts a passage and questions about it into a conversation."""

    def __init__(self, talk: Dialogue, passage: Passage) -> None:
        self.talk = talk
        self.passage = passage
        self._shown = False
        self._before: Query | None = None

    def show(self) -> None:
        """Decides where the passage stands: in the system message, in a turn of its own, or
        together with the first question."""
        rng, talk = self.talk.rng, self.talk
        frames = table(talk.language, "frames")
        chance = rng.random()
        if chance < 0.15:
            form = rng.choice(frames["in_system"])
            if talk.persona != "general" and "{s}" not in form:
                form = frames["in_system"][0]
            plain = "You are a helpful assistant." if talk.language == "en" else "你是一个助手。"
            text = form.replace("{s}", talk.system.text or plain).replace("{t}", self.passage.text)
            talk.system = System(talk.persona, text)
            self._shown = True
        elif chance < 0.35:
            talk.user(rng.choice(frames["alone"]).replace("{t}", self.passage.text))
            talk.reply(Reply(frames["ack"], short=frames["ack"]))
            self._shown = True

    def question(self, query: Query, *, quote: bool = False) -> Reply:
        """Asks, and gives the answer back, which the caller lets the assistant say."""
        rng, talk = self.talk.rng, self.talk
        frames = table(talk.language, "frames")
        known = self._before is not None and self._before.entity == query.entity
        lone = self.passage.entities == (query.entity,)
        text = ask(rng, talk.language, query.attribute, query.entity, known=known, lone=lone)
        if quote and not self.passage.paged:
            text += rng.choice(frames["ask_quote"])
        elif self.passage.paged and rng.random() < 0.12:
            text += rng.choice(frames["ask_quote"] + frames["ask_page"])
        if not self._shown:
            form = rng.choice(frames["together"])
            text = form.replace("{t}", self.passage.text).replace("{q}", text)
            self._shown = True
        talk.user(text)
        self._before = query
        quoted = quote or self.passage.paged or talk.persona == "analyst"
        return answer(talk.language, query, quoted)

    def ask_some(self, many: int, untold: float = 1 / 3) -> None:
        """`many` questions with their answers; the share `untold` the passage does not answer."""
        rng, talk = self.talk.rng, self.talk
        asked: list[Query] = []
        for _ in range(many):
            if rng.random() < untold:
                query = unanswered(rng, talk.split, talk.language, self.passage)
            else:
                query = answered(rng, self.passage, asked)
            asked.append(query)
            talk.reply(self.question(query, quote=rng.random() < 0.08))
            if rng.random() < 0.06:
                intent = rng.choice(("thanks", "okay", "identity", "abilities"))
                _, words, reply = small_talk(rng, talk.split, talk.language, intent)
                talk.user(words)
                talk.reply(reply)
                self._before = None


def earlier(rng: random.Random) -> int:
    """How many questions come before the one that is scored."""
    return rng.choices((0, 1, 2, 3, 5), (40, 22, 18, 12, 8))[0]
