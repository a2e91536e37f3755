"""Draws the values that stand in training text, by type: persons, dates, prices, objects.

A value made of several words is held out when its names, nouns or numbers are; adjectives, months
and units are shared, and of colours and times the whole decides.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from demo_training.open_words import han_word, name_word, number, pick, pool, proper_word, split_of
from demo_training.words import words

_TOWN_ENDS = ("ford", "ton", "bury", "ham", "mouth", "stead", "dale", "field", "wick", "haven")
_UNITS = {
    "en": ("metres", "kilometres", "kilograms", "tonnes", "litres", "hectares", "miles", "degrees"),
    "zh": ("米", "公里", "公斤", "吨", "升", "公顷", "里", "度"),
}
_MEASURES = ("一个", "一枚", "一把", "一件", "一张", "一只", "一本", "一块", "两个", "三只", "几个")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def _name(rng: random.Random, split: str, listed: str) -> str:
    return rng.choice(pool("en", listed, split)) if rng.random() < 0.5 else proper_word(rng, split)


def person(rng: random.Random, split: str, language: str) -> str:
    if language == "en":
        first = _name(rng, split, "first_names")
        if rng.random() < 0.2:
            return first
        last = _name(rng, split, "last_names")
        if rng.random() < 0.06:
            return f"{rng.choice(('Dr', 'Captain', 'Professor', 'Mrs', 'Mr'))} {last}"
        return f"{first} {last}"
    shape = rng.random()
    if shape < 0.12:
        return name_word(rng, split, "zh")
    if shape < 0.18:
        return person(rng, split, "en")
    if shape < 0.3:
        return rng.choice(words("zh", "surnames")) + han_word(rng, split, rng.choice((1, 2)))
    while True:
        given = rng.choice(words("zh", "given"))
        if rng.random() < 0.6:
            given += rng.choice(words("zh", "given"))
        whole = rng.choice(words("zh", "surnames")) + given
        if split_of(whole) == split:
            return whole


def place(rng: random.Random, split: str, language: str) -> str:
    if language == "en":
        if rng.random() < 0.4:
            return rng.choice(pool("en", "towns", split))
        while True:
            word = proper_word(rng, split)
            if rng.random() < 0.3:
                word += rng.choice(_TOWN_ENDS)
            if split_of(word) == split:
                return word
    if rng.random() < 0.35:
        return rng.choice(pool("zh", "towns", split))
    return name_word(rng, split, "zh") + rng.choice(("", "", "镇", "村", "市", "县", "湾", "岛"))


def noun(rng: random.Random, split: str, language: str, name: str = "things") -> str:
    """A common noun without an article."""
    return pick(rng, split, language, name, 0.35)


def thing(rng: random.Random, split: str, language: str) -> str:
    """A noun with its article in English, with or without an adjective."""
    word = noun(rng, split, language)
    if language == "zh":
        counted = rng.choice(_MEASURES) if rng.random() < 0.25 else ""
        adjective = rng.choice(words("zh", "adjectives"))
        return f"{counted}{adjective}的{word}" if rng.random() < 0.4 else counted + word
    return article(
        f"{rng.choice(words('en', 'adjectives'))} {word}" if rng.random() < 0.6 else word
    )


def article(phrase: str) -> str:
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def animal(rng: random.Random, split: str, language: str) -> str:
    word = noun(rng, split, language, "animals")
    colour_word = rng.choice(words(language, "colours"))
    if language == "zh":
        return f"{colour_word}色的{word}" if rng.random() < 0.3 else word
    return article(f"{colour_word} {word}" if rng.random() < 0.5 else word)


def food(rng: random.Random, split: str, language: str) -> str:
    return pick(rng, split, language, "foods", 0.25)


def colour(rng: random.Random, split: str, language: str) -> str:
    """A colour, mostly of two words; the whole decides the split."""
    while True:
        base = rng.choice(words(language, "colours"))
        if language == "en":
            shade = rng.choice(("", "pale ", "dark ", "light ", "bright ", "deep ", "dull "))
            found = shade + base
        else:
            found = rng.choice(("", "浅", "深", "亮", "暗", "淡")) + base + "色"
        if split_of(found) == split:
            return found


def job(rng: random.Random, split: str, language: str) -> str:
    return pick(rng, split, language, "jobs", 0.25)


def material(rng: random.Random, split: str, language: str) -> str:
    return pick(rng, split, language, "materials", 0.2)


def hobby(rng: random.Random, split: str, language: str) -> str:
    return rng.choice(pool(language, "hobbies", split))


def instrument(rng: random.Random, split: str, language: str) -> str:
    word = pick(rng, split, language, "instruments", 0.2)
    return word if language == "zh" else f"the {word}"


def age(rng: random.Random, split: str, language: str) -> str:
    found = str(number(rng, split, 3, 99))
    return found if language == "en" else f"{found}岁"


def year(rng: random.Random, split: str, language: str) -> str:
    found = str(number(rng, split, 1700, 2035))
    return found if language == "en" else f"{found}年"


def count(rng: random.Random, split: str, language: str) -> str:
    return str(number(rng, split, 2, 99) if rng.random() < 0.5 else number(rng, split, 100, 999))


def large(rng: random.Random, split: str, language: str) -> str:
    found = number(rng, split, 1000, 99999)
    return f"{found:,}" if rng.random() < 0.6 else str(found)


def measure(
    rng: random.Random, split: str, language: str, units: Sequence[str] | None = None
) -> str:
    """A number with a unit; one in five with a decimal."""
    unit = rng.choice(units or _UNITS[language])
    found = str(number(rng, split, 2, 999))
    if rng.random() < 0.2:
        found += f".{rng.randint(1, 9)}"
    return f"{found} {unit}" if language == "en" else f"{found}{unit}"


def money(rng: random.Random, split: str, language: str) -> str:
    found = number(rng, split, 2, 999) if rng.random() < 0.6 else number(rng, split, 1000, 99999)
    text = f"{found:,}" if rng.random() < 0.5 else str(found)
    if language == "zh":
        return text + rng.choice(("元", "元", "欧元", "美元"))
    shape = rng.random()
    if shape < 0.25:
        return f"${text}"
    return f"{text} {rng.choice(('euros', 'pounds', 'yuan', 'dollars', 'crowns'))}"


def clock(rng: random.Random, split: str, language: str) -> str:
    while True:
        found = f"{rng.randint(5, 23)}:{rng.randrange(0, 60, 5):02d}"
        if split_of(found) == split:
            return found


def date(rng: random.Random, split: str, language: str) -> str:
    day = number(rng, split, 1, 28)
    month = rng.randint(1, 12)
    with_year = rng.random() < 0.5
    if language == "zh":
        return (f"{number(rng, split, 1900, 2035)}年" if with_year else "") + f"{month}月{day}日"
    text = f"{day} {_MONTHS[month - 1]}"
    if rng.random() < 0.3:
        text = f"{_MONTHS[month - 1]} {day}"
        return f"{text}, {number(rng, split, 1900, 2035)}" if with_year else text
    return f"{text} {number(rng, split, 1900, 2035)}" if with_year else text


def code(rng: random.Random, split: str, language: str) -> str:
    """Letters and digits, like a part number or a password."""
    letters = "".join([rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(rng.randint(1, 3))])
    mark = rng.choice(("-", "-", "", "_"))
    return f"{letters}{mark}{number(rng, split, 10, 9999)}"


def phone(rng: random.Random, split: str, language: str) -> str:
    return f"0{number(rng, split, 100, 999)} {number(rng, split, 1000, 9999)}"


def organisation(rng: random.Random, split: str, language: str) -> str:
    name = name_word(rng, split, language)
    if language == "zh":
        return name + rng.choice(("公司", "集团", "基金会", "工作室", "银行", "大学"))
    kinds = ("Ltd", "Works", "Foundation", "Bank", "University", "Studio", "& Sons", "Group")
    return f"{name} {rng.choice(kinds)}"


SOURCES: Mapping[str, Callable[[random.Random, str, str], str]] = {
    "person": person,
    "place": place,
    "thing": thing,
    "animal": animal,
    "food": food,
    "colour": colour,
    "job": job,
    "material": material,
    "hobby": hobby,
    "instrument": instrument,
    "age": age,
    "year": year,
    "count": count,
    "large": large,
    "measure": measure,
    "money": money,
    "clock": clock,
    "date": date,
    "code": code,
    "phone": phone,
    "organisation": organisation,
}
"""Value type to the function that draws one."""


def value(rng: random.Random, split: str, language: str, kind: str) -> str:
    """A value of type `kind`, as it stands in a text of `language`."""
    return SOURCES[kind](rng, split, language)
