"""Files made to hurt a reader: bombs, loops, lies and locks. All small, all made on the spot."""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable

from pypdf import PdfReader, PdfWriter

from tests.documents import making

Made = tuple[str, bytes]
BOMB = 2**28
BILLION = (
    '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "lol">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(10))
    + "]>"
)


def raw_pdf(objects: list[bytes], trailer: bytes = b"/Root 1 0 R", prev: str = "") -> bytes:
    """A PDF of these objects, numbered from 1, with a right table of places."""
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, item in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    for place in places:
        out += b"%010d 00000 n \n" % place
    more = b" /Prev %d" % start if prev == "self" else b""
    out += b"trailer <</Size %d %s%s>>\nstartxref\n%d\n%%%%EOF" % (
        len(objects) + 1,
        trailer,
        more,
        start,
    )
    return bytes(out)


def stream(data: bytes, rest: bytes = b"") -> bytes:
    return b"<</Length %d %s>>\nstream\n%s\nendstream" % (len(data), rest, data)


def one_page(content: bytes, *more: bytes, resources: bytes = b"<<>>") -> bytes:
    return raw_pdf(
        [
            b"<</Type /Catalog /Pages 2 0 R>>",
            b"<</Type /Pages /Kids [3 0 R] /Count 1>>",
            b"<</Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R"
            b" /Resources %s>>" % resources,
            content,
            *more,
        ]
    )


def flate_bomb() -> Made:
    """10 GB of blanks in a content stream, deflated twice."""
    packer = zlib.compressobj(9)
    start = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush the same bytes mean the same again, so one block can be repeated.
    block = packer.compress(b" " * 2**24) + packer.flush(zlib.Z_FULL_FLUSH)
    once = start + block * 640 + packer.flush()
    twice = zlib.compress(once, 9)
    return "bomb.pdf", one_page(stream(twice, b"/Filter [/FlateDecode /FlateDecode]"))


def prev_loop() -> Made:
    objects = [b"<</Type /Catalog /Pages 2 0 R>>", b"<</Type /Pages /Kids [] /Count 0>>"]
    return "prev.pdf", raw_pdf(objects, prev="self")


def kids_loop() -> Made:
    return "kids.pdf", raw_pdf(
        [b"<</Type /Catalog /Pages 2 0 R>>", b"<</Type /Pages /Kids [2 0 R 2 0 R] /Count 9>>"]
    )


def xref_loop() -> Made:
    """A stream whose length is the stream itself, and objects that are each other."""
    return "xref.pdf", one_page(
        b"<</Length 4 0 R>>\nstream\nBT ET\nendstream", b"6 0 R", b"5 0 R", resources=b"5 0 R"
    )


def form_loop() -> Made:
    """A form that draws itself."""
    return "form.pdf", one_page(
        stream(b"/A Do"),
        stream(
            b"/A Do /A Do", b"/Type /XObject /Subtype /Form /Resources <</XObject <</A 5 0 R>>>>"
        ),
        resources=b"<</XObject <</A 5 0 R>>>>",
    )


def outline_loop() -> Made:
    return "outline.pdf", raw_pdf(
        [
            b"<</Type /Catalog /Pages 2 0 R /Outlines 5 0 R>>",
            b"<</Type /Pages /Kids [3 0 R] /Count 1>>",
            b"<</Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources "
            b"<</Font <</F <</Type /Font /Subtype /Type1 /BaseFont /Helvetica>>>>>>>>",
            stream(b"BT /F 12 Tf 72 700 Td (The outline of this file never ends.) Tj ET"),
            b"<</Type /Outlines /First 6 0 R /Last 6 0 R /Count 1>>",
            b"<</Title (a) /Parent 5 0 R /Next 6 0 R /Prev 6 0 R /First 6 0 R>>",
        ]
    )


def million_pages() -> Made:
    """A tree whose leaves are one page a million times."""
    kids = b" ".join([b"3 0 R"] * 1_000)
    return "million.pdf", raw_pdf(
        [
            b"<</Type /Catalog /Pages 2 0 R>>",
            b"<</Type /Pages /Kids [%s] /Count 1000000>>" % b" ".join([b"4 0 R"] * 1_000),
            b"<</Type /Page /Parent 4 0 R /MediaBox [0 0 9 9]>>",
            b"<</Type /Pages /Parent 2 0 R /Kids [%s] /Count 1000>>" % kids,
        ]
    )


def lying_million() -> Made:
    """The same, and it says that it has one page."""
    name, data = million_pages()
    return f"lying-{name}", data.replace(b"/Count 1000000", b"/Count 1      ")


def encrypted(algorithm: str = "AES-256") -> Made:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(making.pdf(["A secret."]))))
    writer.encrypt("a password", algorithm=algorithm)
    out = io.BytesIO()
    writer.write(out)
    return "locked.pdf", out.getvalue()


def zipped(name: str, entry: str, content: bytes) -> Made:
    """An Office file in which `entry` has other content."""
    whole = {
        "docx": making.word([("", "A word.")]),
        "xlsx": making.workbook({"One": [["a"], [1]]}),
        "pptx": making.slides([("A title", "A text", "")]),
    }[name.rsplit(".", 1)[1]]
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(whole)) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for item in old.namelist():
            new.writestr(item, content if item == entry else old.read(item))
    return name, out.getvalue()


def zip_bomb(name: str, entry: str) -> Made:
    """A quarter of a gigabyte of one letter as the document."""
    return zipped(name, entry, b"<a>" + b"A" * BOMB + b"</a>")


def lying_zip_bomb() -> Made:
    """A bomb that declares 1,000 bytes in its list of contents."""
    name, data = zip_bomb("lying-bomb.docx", "word/document.xml")
    true, lie = (BOMB + 7).to_bytes(4, "little"), (1_000).to_bytes(4, "little")
    assert true in data
    return name, data.replace(true, lie)


def entities(name: str, entry: str) -> Made:
    return zipped(name, entry, f"{BILLION}<l>&k;</l>".encode())


def external(name: str, entry: str) -> Made:
    text = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
    return zipped(name, entry, text.encode("utf-16"))


def deep_docx() -> Made:
    body = "<w:sdt><w:sdtContent>" * 20_000 + "</w:sdtContent></w:sdt>" * 20_000
    names = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    text = f"<w:document {names}><w:body>{body}</w:body></w:document>"
    return zipped("deep.docx", "word/document.xml", text.encode())


def wide_sheet() -> Made:
    """A sheet that declares every cell there can be."""
    names = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    text = (
        f'<worksheet {names}><dimension ref="A1:XFD1048576"/><sheetData>'
        '<row r="1048576"><c r="XFD1048576" t="str"><v>the end</v></c></row>'
        "</sheetData></worksheet>"
    )
    return zipped("wide.xlsx", "xl/worksheets/sheet1.xml", text.encode())


def refused() -> dict[str, Callable[[], Made]]:
    """Makers of files that must end in an error, by what they are."""
    return {
        "flate bomb": flate_bomb,
        "prev loop": prev_loop,
        "kids loop": kids_loop,
        "million pages": million_pages,
        "encrypted": encrypted,
        "encrypted, old": lambda: encrypted("RC4-128"),
        "zero bytes": lambda: ("nothing.pdf", b""),
        "only zeros": lambda: ("zeros.txt", bytes(100_000)),
        "blank": lambda: ("blank.txt", b" \n\t\r\n"),
        "docx bomb": lambda: zip_bomb("bomb.docx", "word/document.xml"),
        "xlsx bomb": lambda: zip_bomb("bomb.xlsx", "xl/worksheets/sheet1.xml"),
        "lying docx bomb": lying_zip_bomb,
        "docx entities": lambda: entities("entities.docx", "word/document.xml"),
        "xlsx entities": lambda: entities("entities.xlsx", "xl/workbook.xml"),
        "pptx external": lambda: external("external.pptx", "ppt/presentation.xml"),
        "deep json": lambda: ("deep.json", b"[" * 200_000 + b"]" * 200_000),
        "broken json": lambda: ("broken.json", b'{"a": 1,}'),
        "long number": lambda: ("long.json", b"[" + b"9" * 100_000 + b"]"),
        "noise after a PDF's beginning": lambda: ("a.pdf", b"%PDF-1.7\n" + noise("pdf")[1]),
        "noise after a ZIP's beginning": lambda: ("a.docx", b"PK\x03\x04" + noise("docx")[1]),
        "cut pdf": lambda: ("cut.pdf", making.pdf(["A text."])[:300]),
        "cut docx": lambda: ("cut.docx", making.word([("", "A text.")])[:900]),
    }


def lying() -> dict[str, Made]:
    """Files whose extension is not what they are."""
    text = making.pdf(["A text."])
    return {
        "gzip called pdf": ("a.pdf", gzip.compress(text)),
        "text called pdf": ("b.pdf", b"Hello, this is text."),
        "pdf called docx": ("c.docx", text),
        "pdf called txt": ("d.txt", text),
        "docx called xlsx": ("e.xlsx", making.word([("", "A text.")])),
        "xlsx called pdf": ("f.pdf", making.workbook({"One": [["a"], [1]]})),
        "picture called md": ("g.md", b"\x89PNG\r\n\x1a\n" + bytes(100)),
        "zip called docx": ("h.docx", zipped_text()),
        "old word": ("i.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)),
    }


def zipped_text() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "hello")
    return out.getvalue()


def survivable() -> dict[str, Callable[[], Made]]:
    """Files that may be read or refused, but must not hurt."""
    rows = json.dumps([[[[0]]]] * 100)
    return {
        "xref loop": xref_loop,
        "form loop": form_loop,
        "outline loop": outline_loop,
        "lying million": lying_million,
        "deep docx": deep_docx,
        "wide sheet": wide_sheet,
        "deep html": lambda: ("deep.html", b"<div>" * 100_000 + b"x"),
        "deep lists": lambda: ("deep.html", b"<ul><li>" * 50_000 + b"x"),
        "one long line": lambda: ("line.txt", b"a" * 5_000_000),
        "quotes": lambda: ("quotes.csv", b'"' * 1_000_001),
        "long csv": lambda: ("long.csv", b"a,b\n" * 300_000),
        "json rows": lambda: ("rows.json", rows.encode()),
        "hashes": lambda: ("hashes.md", b"# \n" * 300_000),
        "pipes": lambda: ("pipes.md", b"|" * 2_000_000),
    }


def noise(extension: str) -> Made:
    return f"noise.{extension}", random.Random(7).randbytes(50_000)
