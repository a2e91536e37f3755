"""Regular expressions: which are harmless, and that both engines read them alike."""

from __future__ import annotations

import re

import pytest
from llguidance import LLMatcher, LLTokenizer

from qwen_webui.structured.hostile import check_pattern
from qwen_webui.structured.patterns import UnusablePattern, translated

HARMLESS = (
    *(r"^[a-z]+(-[a-z]+)*$", r"^\d{1,3}(,\d{3})*$", r"^([A-Za-z0-9+/]{4})*={0,2}$"),
    *(r"^[\w.-]+@\S+$", r"^\+?[0-9 ]{6,20}$", r"^([a-z]{1,63}\.){1,3}[a-z]{2,}$"),
    *(r"^#[0-9a-fA-F]{6}$", r"^(foo|bar)(,(foo|bar))*$", r"^(\d+\.)*\d+$", r"(a{2,3}b)*"),
    *(r"^[^@]+@[^@]+\.[^@]+$", r"^(\+\d{1,3}[- ]?)?\d{10}$", "|".join(f"w{n}" for n in range(200))),
)
HARMFUL = (
    *(r"^(a+)+$", r"(x+x+)+y", r"(a|aa)+$", r"(\w+\s?)*$", r"(a*b*)*", r"^(.*a){30}$", r"(.*)*"),
    *(r"([a-zA-Z]+)*$", r"(a?a?)*b", r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(?:a|b|ab)*c"),
    *(r"(\d{1,30}){1,30}", r"^((a{1,100}){1,100}){1,100}$", r"(([0-9a-f]{1,4}:?)+)+x"),
)


@pytest.mark.parametrize("pattern", HARMLESS)
def test_a_harmless_expression_is_taken(pattern: str) -> None:
    check_pattern(pattern, whole=False)


@pytest.mark.parametrize("pattern", HARMFUL)
def test_an_exponential_expression_is_refused(pattern: str) -> None:
    with pytest.raises(UnusablePattern, match="many ways"):
        check_pattern(pattern, whole=False)


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        (r"(?=a)a", "look-ahead"),
        (r"(?<!a)b", "look-behind"),
        (r"(a)\1", "back-reference"),
        (r"\bword\b", "boundary"),
        (r"a^b", "anchor"),
        (r"(?i)a", "flags"),
        (r"(?i:a)", "flags"),
        (r"(?>a)", "atomic"),
        (r"a++", "possessive"),
        (r"\p{L}", "a class of Unicode's"),
        (r"[\P{Lu}]", "a class of Unicode's"),
        (r"ab(c", "unterminated subpattern, at character 3 of 4"),
        (r"a{20000}", "repeats"),
        ("(" * 900 + ")" * 900, "nests"),
        ("[", "not a regular expression"),
    ],
)
def test_what_cannot_be_held_is_named(pattern: str, word: str) -> None:
    with pytest.raises(UnusablePattern, match=word) as caught:
        check_pattern(pattern, whole=False)
    broken = pattern in ("[", "ab(c")
    assert caught.value.code == ("schema_invalid" if broken else "schema_unsupported")


SAMPLES = [
    *("", "a", "b", "ab", "ba", "aab", "xab", "abx", "a\n", "\n", " ", "\t", "\u00a0", "\u3000"),
    *(
        "é",
        "É",
        "_",
        "-",
        ".",
        "1",
        "٣",
        "x1",
        "中",
        "！",
        "😀",
        "a1b",
        "a b",
        "\\",
        "/",
        '"',
        "^",
        "$",
    ),
]


@pytest.mark.parametrize(
    "pattern",
    [
        *("^a", "b$", "^a|b$", "(^a$)|(^b$)", "a", "^$", "", r"^\d$", r"^\D$", r"^\w$", r"^\W$"),
        *(r"^\s$", r"^\S$", r"^[^\w]$", r"^[^\d]$", r"^[^\s]$", r"^[^\W\d]$", r"^[^\D]$", "^.$"),
        *(
            r"^[\s\S]$",
            r"^[^\S]$",
            "^[^a]$",
            "^é?$",
            r"^[\^\-\]\\]$",
            r"^\$$",
            r"^[a-c_.-]+$",
            "^a?b{1,2}$",
        ),
    ],
)
def test_what_the_translation_matches_the_original_matches(pattern: str) -> None:
    grammar = LLMatcher.grammar_from_regex(translated(pattern, whole=False))
    for text in SAMPLES:
        matcher = LLMatcher(LLTokenizer("byte"), grammar, log_level=0)
        data = list(text.encode())
        taken = matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting()
        assert not taken or re.search(pattern, text), text
        if text.isascii() and "\n" not in text:  # there it leaves nothing out
            assert taken == bool(re.search(pattern, text)), text
