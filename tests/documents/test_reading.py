"""Files of every kind, made here, read through the whole reader."""

from __future__ import annotations

import io
import json
from pathlib import Path

import openpyxl
import pytest

from qwen_webui.documents.encodings import decode
from qwen_webui.documents.reader import DocumentReader
from qwen_webui.documents.values import Document, Heading, Limits, Page, count_words
from qwen_webui.errors import DocumentError
from qwen_webui.types import Progress
from tests.documents import hostile, making
from tests.documents.reading import read

CHINESE = "洛安号是一艘船。洛安号的船长是沈青禾，船长四十八米。我们在港口等了两个小时。"
TRADITIONAL = "這個博物館於一九一二年開館，館長是沈青禾。我們在港口等了兩個小時，後來他們說會來。"
TABLE = [["Town", "People"], ["Marlow", "14,325"], ["Tarvo", "986"]]
MARKDOWN = "| Town | People |\n| --- | --- |\n| Marlow | 14,325 |\n| Tarvo | 986 |"


async def test_pdf_pages(tmp_path: Path) -> None:
    data = making.pdf(["The Lorna is a ship.", "The Lorna is 48 metres long."], title="Ships")
    found = await read(tmp_path, "ships.PDF", data)
    assert found == Document(
        "ships.PDF",
        "pdf",
        "page",
        (Page(1, "The Lorna is a ship."), Page(2, "The Lorna is 48 metres long.")),
        "Ships",
    )


async def test_chinese_pdf(tmp_path: Path) -> None:
    data = making.pdf(["洛安号是一艘船。\n洛安号长48米。"], font=making.CHINESE_FONT)
    found = await read(tmp_path, "船.pdf", data)
    assert found.pages == (Page(1, "洛安号是一艘船。\n洛安号长48米。"),)


async def test_two_columns_are_read_one_after_the_other(tmp_path: Path) -> None:
    left = [f"left line {n}" for n in range(20)]
    right = [f"right line {n}" for n in range(20)]
    found = await read(tmp_path, "two.pdf", making.two_columns(left, right))
    assert found.pages[0].text.split("\n") == left + right


async def test_words_that_are_set_apart_by_place_alone_are_words(tmp_path: Path) -> None:
    words = ["No", "blank", "stands", "between", "these", "words."]
    found = await read(tmp_path, "set.pdf", making.placed_words(words))
    assert found.pages[0].text == " ".join(words)


async def test_a_hyphen_at_a_line_end_stays_one(tmp_path: Path) -> None:
    data = making.pdf(["The ship has a large distri-\nbution of sails."])
    found = await read(tmp_path, "hyphen.pdf", data)
    assert found.pages[0].text == "The ship has a large distri-\nbution of sails."


async def test_a_pdf_tells_its_headings(tmp_path: Path) -> None:
    outline = [(1, 0, "The Harbour"), (1, 1, "Ships"), (2, 0, "第二章 船")]
    data = making.pdf(
        ["1 The Harbour\nA text.\n1.1 Ships", "第二章 船\n洛安号。"],
        font=making.CHINESE_FONT,
        outline=outline,
    )
    found = await read(tmp_path, "outline.pdf", data)
    assert [page.headings for page in found.pages] == [
        (Heading(1, "The Harbour"), Heading(2, "Ships")),
        (Heading(1, "第二章 船"),),
    ]


async def test_states_of_pdf_pages(tmp_path: Path) -> None:
    empty = making.pdf(["", "x" * 30])
    assert [p.state for p in (await read(tmp_path, "a.pdf", empty)).pages] == ["empty", "ok"]
    scan = making.scanned(["A scanned line"], "A page of text that can be read.")
    found = await read(tmp_path, "b.pdf", scan)
    assert [p.state for p in found.pages] == ["ok", "scanned"]
    assert found.to_recognise == (2,)
    wrong = making.pdf(["\xd6\xd0\xb9\xfa\xc8\xcb\xc3\xf1" * 5])
    assert [p.state for p in (await read(tmp_path, "c.pdf", wrong)).pages] == ["garbled"]


async def test_a_pdf_that_opens_without_its_password_is_read(tmp_path: Path) -> None:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(making.pdf(["Anybody may read this."]))))
    writer.encrypt("", "owner", algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    found = await read(tmp_path, "a.pdf", out.getvalue())
    assert (found.locked, found.pages[0].text) == (True, "Anybody may read this.")


async def test_word(tmp_path: Path) -> None:
    data = making.word(
        [
            ("Title", "Towns"),
            ("Heading 1", "North"),
            ("", "Marlow lies\nin the north."),
            ("List Bullet", "a harbour"),
            TABLE,
            ("", CHINESE),
        ]
    )
    found = await read(tmp_path, "towns.docx", data)
    text = f"# Towns\n\n# North\n\nMarlow lies\nin the north.\n\n- a harbour\n\n{MARKDOWN}"
    text += f"\n\n{CHINESE}"
    assert (found.kind, found.unit, found.pages) == ("docx", "part", (Page(1, text),))


async def test_word_keeps_added_text_and_drops_deleted_text(tmp_path: Path) -> None:
    names = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    body = (
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>In a control. </w:t></w:r></w:p>"
        "</w:sdtContent></w:sdt>"
        "<w:p><w:r><w:t>It is </w:t></w:r><w:del><w:r><w:delText>old</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:r><w:t>.</w:t></w:r></w:p>"
    )
    xml = f"<w:document {names}><w:body>{body}</w:body></w:document>"
    name, data = hostile.zipped("a.docx", "word/document.xml", xml.encode())
    assert (await read(tmp_path, name, data)).pages[0].text == "In a control.\n\nIt is new."


async def test_long_word_documents_have_parts(tmp_path: Path) -> None:
    blocks: list[tuple[str, str] | list[list[str]]] = []
    for number in range(40):
        blocks += [("Heading 2", f"Chapter {number}"), ("", f"Sentence {number} of many. " * 40)]
    found = await read(tmp_path, "long.docx", making.word(blocks))
    assert [page.number for page in found.pages] == list(range(1, len(found.pages) + 1))
    assert all(1_000 < len(page.text) < 4_000 for page in found.pages[:-1])
    assert all(page.text.startswith("## Chapter") for page in found.pages)


async def test_slides(tmp_path: Path) -> None:
    data = making.slides(
        [("The plan", "First things first", "Speak slowly"), ("终点", CHINESE, "")]
    )
    found = await read(tmp_path, "plan.pptx", data)
    first = Page(1, "# The plan\n\nFirst things first\n\nNotes: Speak slowly", "The plan")
    assert (found.unit, found.pages[0]) == ("slide", first)
    assert found.pages[1] == Page(2, f"# 终点\n\n{CHINESE}", "终点")


async def test_charts_and_pictures_of_slides(tmp_path: Path) -> None:
    values = [("Visitors", (14.5, None, 986)), ("来客", (1, 2, 3))]
    data = making.chart_and_picture(["Spring", "夏", "Autumn"], values)
    found = await read(tmp_path, "charts.pptx", data)
    table = (
        "|  | Visitors | 来客 |\n| --- | --- | --- |\n| Spring | 14.5 | 1 |\n| 夏 |  | 2 |\n"
        "| Autumn | 986 | 3 |"
    )
    assert found.pages == (Page(1, table), Page(2, "", state="scanned"))


async def test_sheets(tmp_path: Path) -> None:
    data = making.workbook({"Towns": TABLE, "数据": [["年", "数"], [2024, 0.5]]})
    found = await read(tmp_path, "towns.xlsx", data)
    assert (found.unit, found.pages) == (
        "sheet",
        (
            Page(1, f"# Towns\n\n{MARKDOWN}", "Towns"),
            Page(2, "# 数据\n\n| 年 | 数 |\n| --- | --- |\n| 2024 | 0.5 |", "数据"),
        ),
    )


async def test_long_sheets_repeat_their_header(tmp_path: Path) -> None:
    rows = [["Town", "People"], *[[f"Town {n}", n] for n in range(1_000)]]
    found = await read(tmp_path, "long.xlsx", making.workbook({"Towns": rows}))
    assert found.unit == "part" and len(found.pages) > 3
    assert all(
        page.text.startswith("# Towns\n\n| Town | People |\n| --- | --- |\n| Town ")
        for page in found.pages
    )
    assert sum(page.text.count("| Town ") for page in found.pages) == 1_000 + len(found.pages)


async def test_a_formula_that_was_never_computed_is_shown(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["Sum"])
    book.active.append(["=1+2"])
    out = io.BytesIO()
    book.save(out)
    assert "| =1+2 |" in (await read(tmp_path, "sum.xlsx", out.getvalue())).pages[0].text


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("a.txt", "One.\r\nTwo.\x07", "One.\nTwo."),
        ("a.md", "# Title\n\nA text.", "# Title\n\nA text."),
        ("a.py", "def f():\n    return 1\n", "def f():\n    return 1"),
        ("a.csv", "Town;People\nMarlow;14,325\nTarvo;986\n", MARKDOWN),
        ("a.csv", 'Town,People\nMarlow,"14,325"\nTarvo,986\n', MARKDOWN),
        ("a.tsv", "Town\tPeople\nMarlow\t14,325\nTarvo\t986", MARKDOWN),
        ("a.json", '{"a": [1, 2]}', '{"a": [1, 2]}'),
        ("a.jsonl", '{"a": 1}\n\n{"a": 2}\n', '{"a": 1}\n{"a": 2}'),
        ("noname", "Just a text.", "Just a text."),
        (
            "a.html",
            "<title>T</title><script>x()</script><h2>Big\n town</h2><p>One <b>bold</b> word.<br>"
            "Next<ul><li>a<li>b</ul><table><tr><th>Town<th>People<tr><td>Marlow<td>14,325"
            "<tr><td>Tarvo<td>986</table>",
            f"## Big town\n\nOne bold word.\nNext\n\n- a\n\n- b\n\n{MARKDOWN}",
        ),
    ],
)
async def test_text_formats(name: str, text: str, wanted: str, tmp_path: Path) -> None:
    found = await read(tmp_path, name, text.encode())
    assert [page.text for page in found.pages] == [wanted]


async def test_form_feeds_are_pages(tmp_path: Path) -> None:
    found = await read(tmp_path, "a.txt", b"One.\n\fTwo.\n")
    assert (found.unit, found.pages) == ("page", (Page(1, "One."), Page(2, "Two.")))


async def test_a_long_line_of_json_is_written_over_many(tmp_path: Path) -> None:
    value = [{"town": f"Town {n}", "people": n} for n in range(1_000)]
    found = await read(tmp_path, "a.json", json.dumps(value).encode())
    assert len(found.pages) > 5
    assert json.loads("".join(page.text for page in found.pages)) == value


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("gb18030", CHINESE),
        ("gbk", "文件编号：48。"),
        ("big5", TRADITIONAL),
        ("big5", "這是電子郵件的內容。"),
        ("utf-16", CHINESE),
        ("utf-8-sig", CHINESE),
        ("shift_jis", "これはテストです。東京に行きます。" * 5),
        ("cp1252", "Das Café schließt um fünf Uhr, danach gehen wir über die Brücke. " * 3),
        ("cp1251", "Это обычный русский текст, который нужно прочитать. " * 3),
    ],
)
def test_encodings(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == text


async def test_chinese_encodings_through_the_reader(tmp_path: Path) -> None:
    for encoding, text in (("gb18030", CHINESE), ("big5", TRADITIONAL)):
        assert (await read(tmp_path, "a.txt", text.encode(encoding))).pages[0].text == text
        page = f"<meta charset={encoding}><p>{text}".encode(encoding)
        assert (await read(tmp_path, "a.html", page)).pages[0].text == text


async def test_the_limits_are_named(tmp_path: Path) -> None:
    for limits, data in (
        (Limits(file_bytes=1000), b"x" * 1001),
        (Limits(characters=1000), b"word " * 201),
        (Limits(pages=2), b"word " * 3000),
    ):
        with pytest.raises(DocumentError) as caught:
            await read(tmp_path, "a.txt", data, limits)
        assert (caught.value.code, caught.value.status) == ("document_too_large", 422)
    data = making.pdf(["A text."])
    with pytest.raises(DocumentError) as caught:
        await read(tmp_path, "a.pdf", data, Limits(memory_bytes=2**20))
    assert "memory" in caught.value.message


async def test_a_book_of_300_pages(tmp_path: Path) -> None:
    pages = [f"Chapter {n}\n" + f"This is line {n} of the book. \n" * 40 for n in range(1, 301)]
    found = await read(tmp_path, "book.pdf", making.pdf(pages))
    assert [page.number for page in found.pages] == list(range(1, 301))
    assert found.pages[299].text.startswith("Chapter 300\nThis is line 300 of the book.")


async def test_progress_comes_page_by_page(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(making.pdf([f"Page {n}" for n in range(1, 6)]))
    seen = [item async for item in DocumentReader().read(path, "a.pdf")]
    assert seen[:-1] == [
        Progress("reading", 0, 0, "pages"),
        *[Progress("reading", n, 5, "pages") for n in range(1, 6)],
    ]
    assert isinstance(seen[-1], Document)


def test_words_are_counted_in_both_scripts() -> None:
    assert count_words("It's 14,325 people in Marlow.") == 5
    assert count_words("洛安号长48米。") == 6
