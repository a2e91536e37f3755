"""Text to the terms that are searched for: words of alphabetic scripts, words of Chinese.

jieba and its dictionary (about half a second, 60 MB) are loaded when the first Chinese text comes,
never with the program. Ranking is the index's business.
"""

from __future__ import annotations

import functools
import importlib
import logging
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator

from qwen_webui.documents.values import WIDE

_RUN = re.compile(rf"([{WIDE}]+)|([^\W_{WIDE}]+(?:[.,][0-9]+)*)")
_HYPHENATED = re.compile(r"(?<=[^\W\d_])[-\u2010\xad]\s*\n\s*(?=[^\W\d_])")
_STOP_WORDS = (
    "a an and are as at be been but by can could did do does for from had has have how in "
    "into is it its of on or that the their there these they this to was were what when "
    "where which who whom whose why will with would you your please tell me give about 的 "
    "了 是 在 有 和 与 及 或 也 都 就 而 被 把 对 为 于 以 从 到 由 之 这 那 其 哪 谁 吗 呢 "
    "么 什么 多少 哪里 哪个 哪位 哪年 几 怎么 如何 为什么 请 请问 告诉 我 你 它 他 她 一个 "
    "哪 多"
)
_STOP = frozenset(_STOP_WORDS.split())
_ENDINGS = (
    ("ies", "y", 3), ("sses", "ss", 2), ("ing", "", 4), ("ed", "", 4), ("es", "e", 3),
    ("s", "", 3), ("ly", "", 4),
)  # fmt: skip


def terms(text: str) -> list[str]:
    """The terms of a text or of a question, in order."""
    plain = _HYPHENATED.sub("", unicodedata.normalize("NFKC", text)).lower()
    found: list[str] = []
    for match in _RUN.finditer(plain):
        wide, word = match.groups()
        found += _chinese(wide) if wide else [_stem(word.replace(",", ""))]
    return [term for term in found if term not in _STOP]


def _chinese(run: str) -> Iterator[str]:
    """Words of the dictionary, and pairs of neighbouring characters: names are in no dictionary,
    and are cut differently in different sentences."""
    yield from (word for word in _jieba()(run) if len(word) != 2)
    for place in range(len(run) - 1):
        if run[place] not in _STOP or run[place + 1] not in _STOP:
            yield run[place : place + 2]


@functools.cache
def _jieba() -> Callable[[str], Iterator[str]]:
    with warnings.catch_warnings():
        # Its patterns have escapes that Python warns of when it first compiles them.
        warnings.simplefilter("ignore")
        jieba = importlib.import_module("jieba")
    # It tells on standard error that it loads.
    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    # Its own cache file lies in the folder for temporary files, where others may write.
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True

    def words(run: str) -> Iterator[str]:
        return iter(tokenizer.lcut_for_search(run, HMM=False))

    return words


@functools.lru_cache(maxsize=50_000)
def _stem(word: str) -> str:
    """English words without the commonest endings."""
    if not word.isascii() or word[-1].isdigit():
        return word
    for ending, instead, least in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= least:
            if ending == "s" and word[-2] in "su":
                return word
            return (word[: -len(ending)] + instead).rstrip("e")
    return word.rstrip("e") if len(word) > 3 else word
