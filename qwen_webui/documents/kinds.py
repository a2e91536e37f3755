"""What a file is: by its content, with its extension as a claim that must agree.

Looks at bytes only; nothing is parsed here.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import PurePath

from qwen_webui.documents.values import Kind
from qwen_webui.errors import DocumentError, UnsupportedDocument

_CODE_NAMES = (
    "py pyi js mjs cjs jsx ts tsx java kt kts scala c h cc cpp cxx hpp cs go rs rb php swift m mm "
    "lua pl pm r jl hs ml ex exs erl clj dart sql sh bash zsh fish ps1 bat cmd vue svelte css "
    "scss less toml ini cfg conf yaml yml xml tex gradle cmake proto graphql diff patch ipynb"
)
CODE = frozenset(_CODE_NAMES.split())
TEXT: dict[str, Kind] = {
    "txt": "text", "text": "text", "log": "text", "md": "markdown", "markdown": "markdown",
    "html": "html", "htm": "html", "xhtml": "html", "csv": "csv", "tsv": "csv", "json": "json",
    "jsonl": "json", "ndjson": "json", **{name: "code" for name in CODE},
}  # fmt: skip
BINARY: dict[str, Kind] = {"pdf": "pdf", "docx": "docx", "pptx": "pptx", "xlsx": "xlsx"}
EXTENSIONS = (*BINARY, *TEXT)
NAMES: dict[Kind, str] = {
    "pdf": "a PDF", "docx": "a Word document", "pptx": "a PowerPoint presentation",
    "xlsx": "an Excel workbook", "text": "text", "markdown": "Markdown", "html": "HTML",
    "csv": "CSV", "json": "JSON", "code": "source code",
}  # fmt: skip
READABLE = "PDF, DOCX, PPTX, XLSX, TXT, Markdown, HTML, CSV, JSON and source code can be read."
_OFFICE: dict[str, Kind] = {
    "word/document.xml": "docx", "ppt/presentation.xml": "pptx", "xl/workbook.xml": "xlsx",
}  # fmt: skip
# Beginnings of files that people send and that are not read, to be named in the refusal.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b\x08", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"RIFF", "a media file"),
    (b"ID3", "an audio file"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript file"),
    (b"SQLite format 3", "a database"),
)
_TEXT_FORMATS = (b"{\\rtf", b"%!PS")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_TEXT_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
_LOOKED_AT = 65_536


def extension(name: str) -> str:
    """The last extension of `name`, small letters, no dot."""
    return PurePath(name).suffix[1:].lower()


def kind_of(data: bytes, name: str) -> Kind:
    """What `data`, called `name`, is. Raises UnsupportedDocument or DocumentError."""
    if not data.strip(b"\0 \t\r\n"):
        raise DocumentError(
            "The file is empty: it has no content to read. Choose another file.",
            code="document_empty",
        )
    claimed = extension(name)
    found = _binary_kind(data)
    if found is None:
        if claimed in BINARY:
            raise _mismatch(claimed, "something else")
        return TEXT.get(claimed, "text")
    if claimed in EXTENSIONS and claimed != found:
        raise _mismatch(claimed, NAMES[found])
    return found


def _binary_kind(data: bytes) -> Kind | None:
    """The kind of a binary format, or None for text."""
    if b"%PDF-" in data[:1024]:
        return "pdf"
    if data.startswith(b"PK\x03\x04") or data.startswith(b"PK\x05\x06"):
        return _office_kind(data)
    if data.startswith(_OLE):
        raise _old_office(data)
    zeros = b"\0" in data[:_LOOKED_AT]
    for start, what in _OTHERS:
        # A text may begin with the same letters; a picture or a program has binary zeros besides.
        surely = zeros or start in _TEXT_FORMATS or not start.isalnum()
        if data.startswith(start) and surely:
            raise UnsupportedDocument(f"The file is {what}. {READABLE}")
    if zeros and not data.startswith(_TEXT_MARKS):
        raise UnsupportedDocument(
            f"The file holds binary data of a format that is not known here. {READABLE}"
        )
    return None


def _office_kind(data: bytes) -> Kind:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise DocumentError(
            "The file is a damaged ZIP or Office file: its list of contents cannot be read. "
            "Save it again with the program that made it."
        ) from error
    for entry, kind in _OFFICE.items():
        if entry in names:
            return kind
    raise UnsupportedDocument(
        f"The file is a ZIP archive, not a document. Unpack it and upload what is in it. {READABLE}"
    )


def _old_office(data: bytes) -> DocumentError | UnsupportedDocument:
    if "EncryptedPackage".encode("utf-16-le") in data:
        return DocumentError(
            "The Office file is protected by a password. Save a copy without one and upload that.",
            code="document_encrypted",
        )
    return UnsupportedDocument(
        "The file is in the Office format of before 2007 (.doc, .xls, .ppt). Save it as DOCX, "
        "XLSX, PPTX or PDF and upload that."
    )


def _mismatch(claimed: str, found: str) -> UnsupportedDocument:
    return UnsupportedDocument(
        f"The file is called .{claimed}, but its content is {found}. Give it the extension that "
        "belongs to it, or save it again in the right format."
    )
