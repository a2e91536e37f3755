"""What an Office file must not be before a library unpacks it: a bomb, or XML with a DTD."""

from __future__ import annotations

import io
import zipfile
import zlib

from qwen_webui.errors import DocumentError

# Python's zipfile never unpacks more of an entry than the list of contents declares.
MAX_UNPACKED = 400 * 2**20
MAX_XML = 200 * 2**20
MAX_ENTRIES = 20_000
_CHUNK = 2**20
_FORBIDDEN = (b"<!DOCTYPE", b"<!ENTITY")


def check(data: bytes) -> None:
    """Raise DocumentError for a file that would unpack to too much, or that brings entities."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        xml = [entry for entry in entries if entry.filename.endswith((".xml", ".rels"))]
        unpacked = sum(entry.file_size for entry in entries)
        xml_size = sum(entry.file_size for entry in xml)
        if unpacked > MAX_UNPACKED or xml_size > MAX_XML or len(entries) > MAX_ENTRIES:
            raise DocumentError(
                f"The Office file unpacks to {unpacked / 2**20:,.0f} MiB in {len(entries):,} "
                f"pieces; at most {MAX_UNPACKED // 2**20} MiB, of it {MAX_XML // 2**20} MiB of "
                f"text, and {MAX_ENTRIES:,} pieces are read. Split it into smaller files.",
                code="document_too_large",
            )
        for entry in xml:
            if entry.flag_bits & 1:
                raise DocumentError(
                    "The Office file is protected by a password. Save a copy without one.",
                    code="document_encrypted",
                )
            _check_xml(archive, entry)


def _check_xml(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    tail = b""
    try:
        with archive.open(entry) as stream:
            while chunk := stream.read(_CHUNK):
                # UTF-16 writes the same letters with zeros between.
                text = (tail + chunk).replace(b"\0", b"")
                if any(mark in text for mark in _FORBIDDEN):
                    raise DocumentError(
                        "The Office file defines XML entities, which no Office program does and "
                        "which can be used to attack a reader. It is not read."
                    )
                tail = text[-16:]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DocumentError(
            "The Office file is damaged: a piece cannot be unpacked. Save it again with the "
            "program that made it."
        ) from error
