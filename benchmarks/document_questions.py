"""Documents with known facts, and questions whose one sentence of evidence is known.

Written before the splitter and the index were tuned, and not changed for them since. Guides to
places that do not exist: chapters with sections that share their sentences and differ in names
and values, filler, and long tables. Of the questions, a third is answered by a sentence with the
name in it, a third by one that has the name only in its heading ("It opened in 1912."), a third by
a table row. The words of a question are often not those of the evidence.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

PAGE_CHARACTERS = {"en": 2_200, "zh": 900}


@dataclass(frozen=True)
class Question:
    """`evidence` is the sentence or row that answers; `kind` is named, heading or table."""

    text: str
    evidence: str
    kind: str


@dataclass(frozen=True)
class Guide:
    """A document as texts of pages, and what can be asked about it."""

    pages: tuple[str, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Attribute:
    """One property: the sentence with the name, the sentence under a heading, the question."""

    named: str
    under: str
    question: str
    values: str  # year, people, person, money, metres, colour, place


EN = (
    Attribute("{n} opened its doors in {v}.", "It opened its doors in {v}.",
              "In which year did {n} open?", "year"),
    Attribute("{v} has been the director of {n} since last spring.",
              "{v} has been director since last spring.", "Who is director of {n}?", "person"),
    Attribute("About {v} people come to {n} every year.", "About {v} people come every year.",
              "How many people visit {n} each year?", "people"),
    Attribute("A ticket for {n} costs {v} crowns.", "A ticket costs {v} crowns.",
              "What is the price of a ticket for {n}?", "money"),
    Attribute("The tower of {n} is {v} metres high.", "The tower is {v} metres high.",
              "How high is the tower of {n}?", "metres"),
    Attribute("The doors of {n} were painted {v} last year.",
              "The doors were painted {v} last year.",
              "Which colour do the doors of {n} have?", "colour"),
    Attribute("The stone for {n} was brought from {v}.", "The stone was brought from {v}.",
              "Where does the stone of {n} come from?", "place"),
    Attribute("{n} was rebuilt by {v} after the fire.", "{v} rebuilt it after the fire.",
              "Who was the architect that rebuilt {n}?", "person"),
    Attribute("{n} employs {v} people in summer.", "In summer {v} people work here.",
              "How many employees does {n} have in summer?", "people"),
)  # fmt: skip
ZH = (
    Attribute("{n}于{v}年向公众开放。", "这里于{v}年向公众开放。", "{n}是哪一年开放的？", "year"),
    Attribute(
        "{v}从去年春天起担任{n}的馆长。", "{v}从去年春天起担任馆长。", "{n}的馆长是谁？", "person"
    ),
    Attribute(
        "每年约有{v}人到{n}参观。", "每年约有{v}人前来参观。", "{n}一年有多少参观者？", "people"
    ),
    Attribute("{n}的门票为{v}元。", "门票为{v}元。", "去{n}要花多少钱买票？", "money"),
    Attribute("{n}的塔楼高{v}米。", "塔楼高{v}米。", "{n}的塔有多高？", "metres"),
    Attribute("{n}的大门去年漆成了{v}。", "大门去年漆成了{v}。", "{n}的大门是什么颜色？", "colour"),
    Attribute(
        "建造{n}的石料是从{v}运来的。", "石料是从{v}运来的。", "{n}的石头来自哪里？", "place"
    ),
    Attribute(
        "火灾之后，{v}重建了{n}。", "火灾之后，{v}主持了重建。", "{n}由哪位建筑师重建？", "person"
    ),
    Attribute("夏天有{v}人在{n}工作。", "夏天有{v}人在这里工作。", "{n}夏季有多少员工？", "people"),
)
FILLER = {
    "en": (
        "The road along the river is closed in winter.",
        "Visitors are asked to leave large bags at the entrance.",
        "Old people in the region still tell stories about those years.",
        "A small shop sells postcards, maps and honey.",
        "The garden behind the house is open when the weather is fine.",
        "Guided tours start every hour and take about forty minutes.",
        "Much of the work was done by hand, and much of it by volunteers.",
        "The newspapers of the time wrote about it for weeks.",
        "A painting in the hall shows the market as it once was.",
        "There is a bench under the lime trees where many people rest.",
        "School classes come on Tuesdays and Thursdays.",
        "Photographs may be taken without a flash.",
    ),
    "zh": (
        "冬天沿河的道路封闭。",
        "请参观者把大件行李留在入口处。",
        "当地的老人至今还在讲那些年的故事。",
        "小商店里出售明信片、地图和蜂蜜。",
        "天气好的时候，屋后的花园也会开放。",
        "导览每小时一次，大约需要四十分钟。",
        "大部分工作是手工完成的，其中许多由志愿者承担。",
        "当时的报纸连续几周报道了此事。",
        "大厅里的一幅画描绘了从前的集市。",
        "椴树下有一张长椅，许多人在那里休息。",
        "学校的班级在星期二和星期四前来。",
        "可以拍照，但不能使用闪光灯。",
    ),
}
KINDS = {
    "en": ("Museum", "Abbey", "Castle", "Library", "Theatre", "Mill", "Palace", "Lighthouse"),
    "zh": ("博物馆", "修道院", "城堡", "图书馆", "剧院", "磨坊", "宫殿", "灯塔"),
}
COLOURS = {
    "en": ("dark green", "pale blue", "ochre", "crimson", "slate grey", "ivory"),
    "zh": ("墨绿色", "浅蓝色", "赭石色", "深红色", "青灰色", "象牙白"),
}
COLUMNS = {
    "en": (("Rainfall in mm", "What was the rainfall in {n}?"),
           ("Harvest in tons", "How large was the harvest of {n}?"),
           ("Households", "How many households are there in {n}?")),
    "zh": (("降雨量（毫米）", "{n}的降雨量是多少？"), ("收成（吨）", "{n}的收成有多大？"),
           ("户数", "{n}有多少户人家？")),
}  # fmt: skip
WORDS = {
    "en": {"chapter": "Places in the {p} valley", "table": "Villages of the {p} district",
           "village": "Village"},
    "zh": {"chapter": "{p}河谷的名胜", "table": "{p}地区的村庄", "village": "村庄"},
}  # fmt: skip


HEADS = (
    *("Mar", "Tar", "Bel", "Cor", "Hol", "Lin", "Pel", "Ost"),
    *("Fen", "Gri", "Wes", "Dun", "Ash", "Bram", "Kel", "Nor"),
)
MIDDLES = ["a", "in", "er", "ol", "an", "es"]
TAILS = ["low", "vo", "den", "by", "ham", "ster", "ford", "wick", "mere", "ton", "stead", "worth"]


class Namer:
    """Names that occur once: syllables in English, characters in Chinese."""

    def __init__(self, rng: random.Random, language: str) -> None:
        self._rng = rng
        self._language = language
        self._used: set[str] = set()

    def new(self) -> str:
        """A place's name that no other has."""
        while (name := self._draw()) in self._used:
            continue
        self._used.add(name)
        return name

    def person(self) -> str:
        """A person's name."""
        if self._language == "zh":
            return self._rng.choice("林沈顾陆程韩") + self.new()[:2]
        return f"{self.new()} {self.new()}"

    def _draw(self) -> str:
        rng = self._rng
        if self._language == "zh":
            return "".join(
                rng.sample("青浦溪岭松柏澄云望霁桐安临荷石岚泽渡清远", rng.choice((2, 2, 3)))
            )
        middle = rng.choice(("", *MIDDLES)) + rng.choice(("", *MIDDLES))
        return rng.choice(HEADS) + middle + rng.choice(TAILS)


def guide(seed: int, language: str, sections: int, numbered: bool) -> Guide:
    """A document with `sections` sections and half as many tables' rows in sum as needed for one
    question a row in ten. `numbered`: headings as in a PDF ("3.2 X"), else Markdown's."""
    rng = random.Random(seed)
    names = Namer(rng, language)
    blocks: list[str] = []
    questions: list[Question] = []
    for number in range(sections):
        if number % 12 == 0:
            chapter = number // 12 + 1
            title = WORDS[language]["chapter"].format(p=names.new())
            blocks.append(f"{chapter} {title}" if numbered else f"# {title}")
        block, asked = _section(rng, names, language, f"{chapter}.{number % 12 + 1}", numbered)
        blocks += block
        questions += asked
        if number % 12 == 11:
            block, asked = _table(rng, names, language, numbered)
            blocks += block
            questions += asked
    pages = _pages(blocks, PAGE_CHARACTERS[language])
    whole = "\n".join(pages)
    # Some sentences (of doors' colours) stand in two sections: which one was found is unclear.
    asked = [question for question in questions if whole.count(question.evidence) == 1]
    return Guide(tuple(pages), tuple(asked))


def _section(
    rng: random.Random, names: Namer, language: str, place: str, numbered: bool
) -> tuple[list[str], list[Question]]:
    attributes = EN if language == "en" else ZH
    kind = rng.choice(KINDS[language])
    name = f"{names.new()} {kind}" if language == "en" else names.new() + kind
    chosen = rng.sample(attributes, 5)
    rows = [(text, None) for text in rng.sample(FILLER[language], rng.randint(5, 9))]
    facts: list[tuple[str, Question | None]] = []
    for place_in, attribute in enumerate(chosen):
        how = "named" if place_in == 0 else "heading"
        value = _value(rng, names, language, attribute.values)
        form = attribute.named if how == "named" else attribute.under
        text = form.format(n=name, v=value)
        facts.append((text, Question(attribute.question.format(n=name), text, how)))
    mixed = [*rows, *facts]
    rng.shuffle(mixed)
    middle = len(mixed) // 2
    glue = " " if language == "en" else ""
    paragraphs = [
        glue.join(text for text, _ in mixed[:middle]),
        glue.join(text for text, _ in mixed[middle:]),
    ]
    heading = f"{place} {name}" if numbered else f"## {name}"
    found = [question for _, question in mixed if question is not None]
    named = [question for question in found if question.kind == "named"]
    under = [question for question in found if question.kind == "heading"]
    return [heading, *paragraphs], [*named, rng.choice(under)]


def _table(
    rng: random.Random, names: Namer, language: str, numbered: bool
) -> tuple[list[str], list[Question]]:
    title = WORDS[language]["table"].format(p=names.new())
    columns = [name for name, _ in COLUMNS[language]]
    lines = [
        f"| {WORDS[language]['village']} | {' | '.join(columns)} |",
        "| --- | --- | --- | --- |",
    ]
    questions = []
    for number in range(48):
        village = names.new()
        row = f"| {village} | {' | '.join(f'{rng.randint(100, 9999):,}' for _ in columns)} |"
        lines.append(row)
        if number % 4 == 0:
            text = rng.choice(COLUMNS[language])[1].format(n=village)
            questions.append(Question(text, row, "table"))
    return [title if numbered else f"## {title}", "\n".join(lines)], questions


def _value(rng: random.Random, names: Namer, language: str, kind: str) -> str:
    if kind == "person":
        return names.person()
    if kind == "place":
        return names.new()
    if kind == "colour":
        return rng.choice(COLOURS[language])
    if kind == "year":
        return str(rng.randint(1700, 1999))
    return f"{rng.randint(10, 90_000):,}"


def _pages(blocks: list[str], size: int) -> list[str]:
    """Pages of whole sentences and rows: a page may end in the middle of a paragraph or table."""
    pages, held, length = [], [], 0
    for block in blocks:
        lines = block.split("\n") if block.startswith("|") else [block]
        for number, line in enumerate(lines):
            if length + len(line) > size and held:
                pages.append("".join(held))
                held, length = [], 0
            joint = "" if not held else ("\n" if number else "\n\n")
            held.append(joint + line)
            length += len(line) + len(joint)
    return [*pages, "".join(held)] if held else pages
