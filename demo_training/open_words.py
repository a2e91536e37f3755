"""Draws single words and numbers from closed lists and from open classes, split for good.

Half of all names and objects come from open classes (words made of syllables, words spliced from
pieces of all others, random letters, random Chinese characters), so that the model learns to copy
any piece of text and not to remember words. Each word and each number belongs to one split for
good, by a hash of its spelling: nothing held out is ever trained on. It knows nothing of the
meaning of a value.
"""

from __future__ import annotations

import random
import re
from functools import cache
from string import ascii_lowercase
from zlib import crc32

from demo_training.words import texts, words

HELDOUT_SHARE = 8
"""One word or number in so many is held out."""

_ONSETS = (
    "b br c ch d dr f fl g gr h j k kl l m n p pl r s sh st t th tr v w z b d f g k l m n r s t"
)
_VOWELS = "a e i o u a e i o u a e i o ai ea ee ou"
_CODAS = "l m n r s t x ck ll nd ng nt rd rn st th l m n r s"
_SYLLABLES = tuple(o + v for o in _ONSETS.split() for v in _VOWELS.split())
_CLOSED = tuple(s + c for s in _SYLLABLES if len(s) < 4 for c in _CODAS.split())
_TRANSLIT = (
    "阿埃艾巴贝比伯布达德迪多尔法菲弗格古哈海基卡科克拉莱兰里利卢"
    "鲁伦罗洛马曼米莫姆纳尼诺帕佩普奇萨塞斯索塔特托瓦维温西亚伊尤扎"
)


def split_of(word: str) -> str:
    """The split that a word or number belongs to, for good, in capitals or not."""
    return "heldout" if crc32(word.lower().encode()) % HELDOUT_SHARE == 0 else "train"


@cache
def pool(language: str, name: str, split: str) -> tuple[str, ...]:
    """The words of a list that belong to `split`."""
    return tuple(word for word in words(language, name) if split_of(word) == split)


def number(rng: random.Random, split: str, low: int, high: int) -> int:
    """A whole number of the split; `low` to `high` must hold some of either split."""
    while True:
        found = rng.randint(low, high)
        if split_of(str(found)) == split:
            return found


def pseudo_word(rng: random.Random, split: str) -> str:
    """A pronounceable word of two or three syllables that no list holds, in lower case."""
    while True:
        shape = rng.random()
        word = rng.choice(_SYLLABLES)
        if shape < 0.25:
            word += rng.choice(_SYLLABLES)
        word += rng.choice(_CLOSED if shape < 0.75 else _SYLLABLES)
        if shape > 0.9:
            word += "a"
        elif shape < 0.04:
            word = word.replace("a", rng.choice("áåäàã"), 1).replace("e", rng.choice("éèêë"), 1)
            word = word.replace("o", rng.choice("öøóô"), 1).replace("u", rng.choice("üúù"), 1)
        if split_of(word) == split:
            return word


@cache
def _fragments() -> tuple[str, ...]:
    """Every English word that stands in a list or a form: what other words are spliced from."""
    found = {word.lower() for text in texts("en") for word in re.findall(r"[A-Za-z]{3,}", text)}
    return tuple(sorted(found))


def spliced_word(rng: random.Random, split: str) -> str:
    """A word from the head of one and the tail of another, or a whole one, or random letters."""
    fragments = _fragments()
    while True:
        shape = rng.random()
        if shape < 0.65:
            head, tail = rng.choice(fragments), rng.choice(fragments)
            word = head[: rng.randint(1, 5)] + tail[-rng.randint(2, 5) :]
        elif shape < 0.85:
            word = rng.choice(fragments)
        else:
            letters = [rng.choice(ascii_lowercase) for _ in range(rng.randint(4, 8))]
            word = "".join(letters)
        if len(word) > 2 and split_of(word) == split:
            return word


_SCRIPTS = (
    "абвгдежзиклмнопрстухцчшюя",
    "αβγδεζηθικλμνοπρστυφχψω",
    "アイウエオカキクケコサシスセソタチツテトナニマミムラリルレロン",
    "あいうえおかきくけこさしすせそたちつてとなにまみむらりるれろん",
)
_MARKS = "äöüßéèêëáàâãåæøœñçłšžőřğışćňý"
_EMOJI = "😀🎉🚀🌍🐱🍎⭐🔥🎵📚"


def foreign_word(rng: random.Random, split: str) -> str:
    """A word with letters that English has not: marked ones, other scripts, an emoji."""
    while True:
        shape = rng.random()
        if shape < 0.6:
            word = pseudo_word(rng, split)
            for _ in range(rng.randint(1, 2)):
                place = rng.randrange(len(word))
                word = word[:place] + rng.choice(_MARKS) + word[place + rng.randint(0, 1) :]
            word = word[0].upper() + word[1:]
        elif shape < 0.9:
            script = rng.choice(_SCRIPTS)
            word = "".join([rng.choice(script) for _ in range(rng.randint(2, 6))]).title()
        else:
            word = pseudo_word(rng, split).capitalize() + rng.choice(_EMOJI)
        if split_of(word) == split:
            return word


def proper_word(rng: random.Random, split: str) -> str:
    """A capitalised word of an open class, now and then NATO, McArdle, Ann-Marie or O'Brien."""
    shape = rng.random()
    if shape < 0.45:
        return pseudo_word(rng, split).capitalize()
    if shape < 0.5:
        return foreign_word(rng, split)
    if shape < 0.86:
        return spliced_word(rng, split).capitalize()
    while True:
        word = spliced_word(rng, split).capitalize()
        if shape < 0.9:
            word = word[: rng.randint(2, 5)].upper()
        elif shape < 0.93:
            word = rng.choice(("Mc", "Mac", "De", "i", "e", "Le")) + word
        elif shape < 0.97:
            word = f"{word}-{spliced_word(rng, split).capitalize()}"
        else:
            word = rng.choice(("O'", "D'", "L'")) + word
        if split_of(word) == split:
            return word


def common_word(rng: random.Random, split: str) -> str:
    """A word of an open class in small letters."""
    return pseudo_word(rng, split) if rng.random() < 0.6 else spliced_word(rng, split)


@cache
def _characters() -> tuple[str, ...]:
    names = ("things", "animals", "foods", "given", "towns", "jobs", "adjectives")
    return tuple(sorted({char for name in names for word in words("zh", name) for char in word}))


@cache
def _all_characters() -> tuple[str, ...]:
    """Every Chinese character that stands in a list or a form."""
    return tuple(sorted({char for text in texts("zh") for char in text if "一" <= char <= "龥"}))


@cache
def _rare_characters() -> tuple[str, ...]:
    """The 3,755 characters of level 1 of GB 2312."""
    rows = [bytes((row, cell)) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF)]
    return tuple(row.decode("gb2312") for row in rows if row < b"\xd7\xfa")


def han_word(rng: random.Random, split: str, length: int = 2) -> str:
    """Random Chinese characters: of nouns, of any words of the forms, or of all common ones."""
    while True:
        shape = rng.random()
        chars = _characters() if shape < 0.55 else _all_characters()
        if shape > 0.85:
            chars = _rare_characters()
        word = "".join([rng.choice(chars) for _ in range(length)])
        if split_of(word) == split:
            return word


def name_word(rng: random.Random, split: str, language: str) -> str:
    """A proper name of one word for a thing or a place."""
    if language == "en":
        return proper_word(rng, split)
    shape = rng.random()
    if shape < 0.12:
        return proper_word(rng, split)
    if shape < 0.3:
        while True:
            word = "".join([rng.choice(_TRANSLIT) for _ in range(rng.randint(2, 4))])
            if split_of(word) == split:
                return word
    return han_word(rng, split, 2 if shape < 0.85 else rng.choice((3, 3, 4)))


def pick(rng: random.Random, split: str, language: str, name: str, opened: float = 0.5) -> str:
    """A word of a list, or with probability `opened` one of an open class."""
    if rng.random() >= opened:
        return rng.choice(pool(language, name, split))
    return common_word(rng, split) if language == "en" else han_word(rng, split)
