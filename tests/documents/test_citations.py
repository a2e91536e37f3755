"""Every quotation of an answer is found, or is said not to be."""

from __future__ import annotations

import time

import pytest

from qwen_webui.documents.answers import quotations, says_none
from qwen_webui.documents.citations import Checker
from qwen_webui.documents.values import Document, Page
from qwen_webui.types import Citation, Span

PAGES = (
    "The Lorna is a ship. The captain of the Lorna is Pella Grint.",
    "It was re-\nbuilt in 1912 and costs 1,200 crowns; at -5 degrees it is\nclosed. "
    "A well-known ship.",
    "洛安号是一艘船。\n船长是沈青禾，她说：“我们（三十人）明天出发。”门票１２０元。",
    "| Town | People |\n| --- | --- |\n| Marlow | 14,325 |\nThis sentence goes on over the end of",
    "the page and then it stops. The Lorna is a ship.",
)
BOOK = Document("book.pdf", "pdf", "page", tuple(Page(n, t) for n, t in enumerate(PAGES, 1)))


def check(answer: str) -> list[tuple[int | None, str, int | None]]:
    """(page, verdict, found on) of every citation."""
    return [(c.page, c.verdict, c.found_on) for c in Checker([BOOK]).check(answer)]


@pytest.mark.parametrize(
    "answer",
    [
        'Pella Grint.\nSource: "The captain of the Lorna is Pella Grint." [p. 1]',
        'The captain is Pella. "The captain of the Lorna is Pella Grint." [p. 1]',
        '**Source:** "the captain of  the Lorna is Pella Grint" [p. 1]',
        "Source: The captain of the Lorna is Pella Grint. [p. 1]",
        "On page 1 it says “The captain of the Lorna is Pella Grint”.",
        "“The captain of the Lorna is Pella Grint” (page 1).",
        "“The captain of the Lorna is Pella Grint.” (p. 1)",
        'Source: "The Lorna is a ship. … the Lorna is Pella Grint." [p. 1]',
        'Source: "The Lorna is [...] Pella Grint." [p. 1]',
        "出处：“The captain of the Lorna is Pella Grint.” [第1页]",
        '"The captain of the Lorna is Pella Grint" [p. 1-2]',
    ],
)
def test_true_quotations(answer: str) -> None:
    assert check(answer) == [(1, "verified", 1)]


@pytest.mark.parametrize(
    ("answer", "page"),
    [
        ('Source: "It was rebuilt in 1912" [p. 2]', 2),
        ('Source: "it is closed. A well-known ship." [p. 2]', 2),
        ('Source: "costs 1,200 crowns" [p. 2]', 2),
        ('Source: "at -5 degrees it is closed" [p. 2]', 2),
        ("出处：“船长是沈青禾” [p. 3]", 3),
        ("出处：「門票」「船长是沈青禾，她说：我们(三十人)明天出发。」[p. 3]", None),
        ("船长是她。“船长是沈青禾,她说:“我们(三十人)明天出发。””[p. 3]", 3),
        ("出处：“门票120元。”（第3页）", 3),
        ('Source: "Marlow | 14,325" [p. 4]', 4),
        ('Source: "| Marlow | 14,325 |" [p. 4]', 4),
    ],
)
def test_folding(answer: str, page: int | None) -> None:
    found = check(answer)
    if page is None:
        assert [verdict for _, verdict, _ in found] == ["too_short", "verified"]
    else:
        assert found[-1] == (page, "verified", page)


@pytest.mark.parametrize(
    ("quote", "page"),
    [
        ("The captain of the Lorna is Mira Tolen.", 1),
        ("The captain of the Lorna is Pella Gr", 1),
        ("costs 1,200,000 crowns", 2),
        ("costs 1,2", 2),
        ("200 crowns; at", 2),
        ("5 degrees it is closed", 2),
        ("costs 1200 crowns", 2),
        ("was built in 1912", 2),
        ("船长是沈青河", 3),
        ("门票20元", 3),
        ("Pella Grint ... The Lorna is a ship", 1),
    ],
)
def test_false_quotations(quote: str, page: int) -> None:
    assert check(f'Source: "{quote}" [p. {page}]') == [(page, "not_found", None)]


def test_a_wrong_page_is_said_to_be_wrong() -> None:
    answer = 'Source: "The captain of the Lorna is Pella Grint." [p. 2]'
    assert check(answer) == [(2, "other_page", 1)]
    assert check('Source: "The captain of the Lorna" [p. 99]') == [(99, "no_page", 1)]
    assert check("It is so [p. 99].") == [(99, "no_page", None)]
    assert check("It is so [p. 2].") == []


def test_the_page_that_is_named_wins() -> None:
    assert check('"The Lorna is a ship." [p. 5]') == [(5, "verified", 5)]
    assert check('"The Lorna is a ship." [p. 1]') == [(1, "verified", 1)]


def test_without_a_page_it_may_stand_anywhere() -> None:
    assert check('Source: "The captain of the Lorna is Pella Grint."') == [(None, "verified", 1)]
    assert check('He said "The captain of the Lorna is Mira."') == [(None, "not_found", None)]
    assert check('The word "ship" and the "harbour" are words.') == []


def test_over_the_end_of_a_page() -> None:
    answer = 'Source: "This sentence goes on over the end of the page and then it stops." [p. 4]'
    (found,) = Checker([BOOK]).check(answer)
    assert (found.verdict, found.found_on) == ("verified", 4)
    assert [BOOK.text(span) for span in found.spans] == [
        "This sentence goes on over the end of",
        "the page and then it stops",
    ]


def test_several_citations_in_one_answer() -> None:
    answer = (
        'It is a ship: "The Lorna is a ship." [p. 1] It was "re-built in 1912" [p. 2].\n'
        'Sources: "The Lorna is a ship." [p. 5]; "Nobody said this." [p. 1]'
    )
    assert check(answer) == [
        (1, "verified", 1),
        (2, "verified", 2),
        (5, "verified", 5),
        (1, "not_found", None),
    ]
    assert check('"The Lorna is a ship." and "captain of the Lorna" [p. 1]') == [
        (1, "verified", 1),
        (1, "verified", 1),
    ]


def test_a_citation_says_where() -> None:
    answer = 'It is. "The captain of the Lorna is Pella Grint." [p. 1]'
    assert Checker([BOOK]).check(answer) == (
        Citation(
            document=1,
            page=1,
            quote="The captain of the Lorna is Pella Grint.",
            verdict="verified",
            start=8,
            end=48,
            spans=(Span(1, 21, 60, 1),),
        ),
    )
    assert answer[8:48] == "The captain of the Lorna is Pella Grint."
    assert BOOK.text(Span(1, 21, 60)) == "The captain of the Lorna is Pella Grint"


def test_several_documents() -> None:
    other = Document("other.txt", "text", "part", (Page(1, "The Tarvo is a machine."),))
    checker = Checker([BOOK, other])
    (found,) = checker.check('Source: "The Tarvo is a machine." [doc 2, p. 1]')
    assert (found.document, found.verdict) == (2, "verified")
    (found,) = checker.check('Source: "The Tarvo is a machine." [doc 1, p. 1]')
    assert (found.document, found.verdict, found.found_on) == (2, "other_page", 1)
    (found,) = checker.check('Source: "The Tarvo is a machine." [p. 1]')
    assert (found.document, found.verdict) == (2, "verified")


def test_no_source_is_an_answer() -> None:
    for answer in ("Not there.\nSource: none", "文中没有提到。\n出处：无", "Source: None."):
        assert quotations(answer) == () and says_none(answer)
    assert not says_none('Source: "none of it" [p. 1]')


@pytest.mark.parametrize("junk", ['"', "[p. 1]" * 3000, '"a' * 9000, "“" * 9000, "Source:" * 5000])
def test_strange_answers_take_no_time(junk: str) -> None:
    before = time.monotonic()
    Checker([BOOK]).check(junk)
    assert time.monotonic() - before < 2
