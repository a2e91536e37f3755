"""Parts of a document: along its structure, within the budget, every character accounted for."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest

from qwen_webui.documents.splitter import Part, split
from qwen_webui.documents.structure import units_of
from qwen_webui.documents.values import Document, Heading, Page
from qwen_webui.types import Span
from tests.documents.making import book, count


def pieces(text: str) -> list[tuple[str, str]]:
    return [(unit.kind, text[unit.start : unit.end]) for unit in units_of(text)]


def test_units_of_english() -> None:
    text = (
        "# The Lorna\n\nDr. Grint met J. Tolen at 3.5 knots, i.e. slowly. Was it late? It was!\n"
        "It went on\nover lines.\n- one item\n- another\n\n2.1 The harbour\nIt is deep."
    )
    assert pieces(text) == [
        ("heading", "# The Lorna"),
        ("sentence", "Dr. Grint met J. Tolen at 3.5 knots, i.e. slowly."),
        ("sentence", "Was it late?"),
        ("sentence", "It was!"),
        ("sentence", "It went on\nover lines."),
        ("sentence", "- one item"),
        ("sentence", "- another"),
        ("heading", "2.1 The harbour"),
        ("sentence", "It is deep."),
    ]


def test_units_of_chinese() -> None:
    text = "第三章 港口\n洛安号是一艘船。“它很长！”船长说。一、概况\n它长48米；很稳"
    assert pieces(text) == [
        ("heading", "第三章 港口"),
        ("sentence", "洛安号是一艘船。"),
        ("sentence", "“它很长！”"),
        ("sentence", "船长说。"),
        ("sentence", "一、概况\n它长48米；"),
        ("sentence", "很稳"),
    ]


def test_units_of_a_table() -> None:
    text = "Towns\n\n| Town | People |\n| --- | --- |\n| Marlow | 14 |\n\nAfter it."
    assert pieces(text) == [
        ("heading", "Towns"),
        ("header", "| Town | People |\n| --- | --- |"),
        ("row", "| Marlow | 14 |"),
        ("sentence", "After it."),
    ]


def test_a_part_knows_its_headings_and_its_place() -> None:
    document = book(
        "# Ships\n\n" + "The river is wide. " * 20 + "\n\n## The Lorna\n\n"
        "It is long. " + "It sails often. " * 20 + "It was built in 1912."
    )
    parts = split(document, count, tokens=60)
    last = parts[-1]
    assert last.text.endswith("It was built in 1912.")
    assert last.headings == ("Ships", "The Lorna")
    assert next(part for part in parts if "## The Lorna" in part.text).headings == ("Ships",)
    assert all(part.tokens <= 60 + 10 for part in parts)


def test_a_split_table_repeats_its_header_over_a_page_break() -> None:
    header = "| Town | People |\n| --- | --- |"
    rows = [f"| Town {n} | {n * 7} |" for n in range(60)]
    document = book("\n".join([header, *rows[:30]]), "\n".join(rows[30:]))
    parts = split(document, count, tokens=80)
    assert len(parts) > 4
    assert all(part.text.startswith(header) for part in parts)
    found = [line for part in parts for line in part.text.split("\n")[2:]]
    assert found == rows


def test_a_sentence_over_a_page_break_is_one() -> None:
    document = book("The first one. The ship that is", "called Lorna is long. The last.")
    crossing = next(p for p in split(document, count, tokens=11) if "called" in p.text)
    assert crossing.spans == (Span(1, 15, 31, 1), Span(2, 0, 21, 1))
    assert crossing.text == "The ship that is\ncalled Lorna is long."


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_and_no_word_is_cut(seed: int) -> None:
    rng = random.Random(seed)
    words = [
        "ship",
        "harbour",
        "1,912",
        "well-known",
        "船",
        "港口很大",
        "Lorna.",
        "end!",
        "。",
        "，",
    ]
    joints = [
        " ",
        " ",
        " ",
        "\n",
        "\n\n",
        "\n# ",
        "\n- ",
        "\n| a | b |\n| --- | --- |\n| 1 | ",
        "  ",
    ]
    pages = [
        "".join(rng.choice(words) + rng.choice(joints) for _ in range(rng.randint(0, 120)))
        for _ in range(4)
    ]
    document = book(*pages)
    parts = split(document, count, tokens=rng.choice((3, 12, 40)))
    assert [part.number for part in parts] == list(range(len(parts)))
    read = "".join(text for part in parts for text in part.texts)
    assert _bare(read) == _bare("".join(pages))
    for part in parts:
        assert part.texts == tuple(document.text(span) for span in part.spans)
        for span in part.spans:
            text = pages[span.page - 1]
            assert not re.match(r"[a-z0-9][a-z0-9]", text[span.start - 1 : span.start + 1] or "")
            assert not re.match(r"[a-z0-9][a-z0-9]", text[span.end - 1 : span.end + 1])


def _bare(text: str) -> str:
    return "".join(text.split())


def test_a_sentence_above_the_budget_is_cut_between_words() -> None:
    text = "one two three four five six seven eight nine ten " * 20
    parts = split(book(text), count, tokens=30)
    assert all(part.tokens <= 31 for part in parts)
    assert " ".join(part.text for part in parts).split() == text.split()
    parts = split(book("船" * 500), count, tokens=30)
    assert "".join(part.text for part in parts) == "船" * 500


def test_parts_of_a_document_without_text() -> None:
    assert split(book("", "  \n"), count) == ()


def test_part_of_several_documents_carries_its_number() -> None:
    parts: tuple[Part, ...] = split(book("A text."), count, number=3)
    assert [(part.document, part.spans[0].document) for part in parts] == [(3, 3)]


def test_running_lines_belong_to_no_part() -> None:
    pages = [f"The Book of Ships\nShip {n} is at\nharbour {n} of the\n{n}" for n in range(1, 9)]
    document = replace(book(*pages), kind="pdf", unit="page")
    text = "\n".join(part.text for part in split(document, count))
    assert text.split("\n")[:3] == ["Ship 1 is at", "harbour 1 of the", "Ship 2 is at"]
    assert "The Book" not in text and text.split("\n")[-1] == "harbour 8 of the"


def test_pages_of_one_line_are_not_taken_for_running_lines() -> None:
    pages = tuple(Page(number, f"Return key {number} to room {number}.") for number in range(1, 9))
    parts = split(Document("keys.pdf", "pdf", "page", pages), count)
    assert [span.page for part in parts for span in part.spans] == list(range(1, 9))
    numbered = tuple(Page(number, f"{number}") for number in range(1, 9))
    assert split(Document("scan.pdf", "pdf", "page", numbered), count) == ()


def test_numbers_in_tables_are_no_headings() -> None:
    document = book("1 Ships\nThey sail.\n4 CARD OFFSET\nof a list.\n1.1 Harbours\nThey are deep.")
    parts = split(document, count, tokens=12)
    assert parts[-1].text.startswith("1.1 Harbours") and parts[-1].headings == ("1 Ships",)
    assert not any("4 CARD OFFSET" in heading for part in parts for heading in part.headings)


def test_comments_of_code_are_no_headings() -> None:
    document = replace(book("# a comment\nx = 1\n# another\ny = 2"), kind="code")
    assert [part.headings for part in split(document, count)] == [()]


def test_the_headings_of_a_file_count_more_than_lines_that_look_like_some() -> None:
    first = "1 The Harbour\n3 SIGQUIT\nIt opened in 1912.\n7 KERN_DEBUG\nIts director is Tolen."
    pages = (
        Page(1, first, headings=(Heading(1, "The Harbour"),)),
        # The target of the first heading of a page is often the end of the page before.
        Page(2, "A text.", headings=(Heading(2, "The “$LANG” tower"),)),
        Page(3, '1.1 The "$LANG" tower\nIt is 40 metres high.'),
    )
    document = Document("harbour.pdf", "pdf", "page", pages)
    found = split(document, count, tokens=12)
    assert {part.headings for part in found if part.pages == (1,)} == {(), ("1 The Harbour",)}
    assert found[-1].text == '1.1 The "$LANG" tower\nIt is 40 metres high.'
    assert found[-1].headings == ("1 The Harbour",)
    assert any("3 SIGQUIT" in part.text and "1912" in part.text for part in found)


def test_a_table_of_contents_that_is_not_of_this_text_is_not_used() -> None:
    headings = tuple(Heading(1, f"Foreign {n}") for n in range(5))
    document = Document(
        "a.pdf", "pdf", "page", (Page(1, "2.1 Ships\nThe Lorna is a ship.", headings=headings),)
    )
    (part,) = split(document, count)
    assert part.text.startswith("2.1 Ships") and part.headings == ()
    assert split(document, count, tokens=8)[0].text == "2.1 Ships\nThe Lorna is a ship."


def test_running_lines_with_page_numbers_and_chapters_belong_to_no_part() -> None:
    chapters = ["CHAPTER 1. SHIPS"] * 6 + ["CHAPTER 2. TOWNS"] * 6
    pages = [
        f"{chapter}\nThe book {n} / 12\nShip {n} is at sea."
        for n, chapter in enumerate(chapters, 1)
    ]
    pages = [page.split("\n", 1)[1] if n % 2 else page for n, page in enumerate(pages)]
    document = replace(book(*pages), kind="pdf", unit="page")
    text = "\n".join(part.text for part in split(document, count))
    assert text.split("\n") == [f"Ship {n} is at sea." for n in range(1, 13)]
