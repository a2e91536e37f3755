"""A multipart form with one file, taken apart while it arrives: the file's bytes go on at once.

No byte of the file is kept here, in memory or on the disk. What the file is, and whether its name
will do, is not asked here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from qwen_webui.errors import InvalidRequest, PayloadTooLarge

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FORM = "multipart/form-data"
FILE = "file"
# What may be sent beside the file, and what of each.
FIELDS = ("conversation", "name")
FIELD_BYTES = 2_048
HEADER_BYTES = 16 << 10
# Ours is checked first, so that it is ours that is told.
_PARSER_HEADER_BYTES = 1 << 20
_HOW = "as `curl -F file=@report.pdf` does"


class UploadForm:
    """The form of one request. Read `pieces` to their end; the fields are known then.

    Every error is InvalidRequest or PayloadTooLarge with a sentence.
    """

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        if kind.decode("latin-1") != FORM:
            raise InvalidRequest(
                f"The body must be a form with a file in it ({FORM}). Send the file in the field "
                f"{FILE!r}, {_HOW}."
            )
        self.file_name = ""
        self.fields: dict[str, str] = {}
        self._seen: set[str] = set()
        self._headers: dict[str, bytes] = {}
        self._header = self._value = b""
        self._field = ""
        self._text = b""
        self._pieces: list[bytes] = []
        self._ended = False
        boundary = options.get(b"boundary", b"")
        if not boundary:
            raise InvalidRequest(
                f"The Content-Type {FORM} names no boundary. Let your HTTP client write that "
                f"header itself, {_HOW}."
            )
        try:
            self._parser = MultipartParser(
                boundary, self._callbacks(), max_header_size=_PARSER_HEADER_BYTES
            )
        except FormParserError as error:
            raise _broken() from error

    async def pieces(self, body: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """The file's bytes. Ends with the body, when everything in it was right."""
        async for data in body:
            try:
                self._parser.write(data)
            except FormParserError as error:
                raise _broken() from error
            for piece in self._pieces:
                yield piece
            self._pieces.clear()
        if not self._ended:
            raise _broken()
        if FILE not in self._seen:
            raise InvalidRequest(
                f"The form has no field {FILE!r}. Send the document in it, {_HOW}.", param=FILE
            )

    def _callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": self._add_header,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin,
            "on_part_data": self._data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        if len(self._value) > HEADER_BYTES:
            raise PayloadTooLarge(
                "The name of the file, or another header of the form's parts, is longer than "
                f"{HEADER_BYTES:,} bytes. Give the file a shorter name.",
                param=FILE,
            )

    def _end_header(self) -> None:
        self._headers[self._header.decode("latin-1").lower()] = self._value
        self._header = self._value = b""

    def _begin(self) -> None:
        """The headers of a part are there: what it is, and whether it may be."""
        told = self._headers.get("content-disposition", b"").decode("latin-1")
        _, options = parse_options_header(told)
        field = options.get(b"name", b"").decode("utf-8", "replace")
        name = options.get(b"filename")
        if field not in (FILE, *FIELDS):
            known = ", ".join((FILE, *FIELDS))
            raise InvalidRequest(f"There is no field {field[:100]!r}; known are {known}.")
        if field in self._seen:
            raise InvalidRequest(
                f"The form has two fields {field!r}. Send one; each document has its own request.",
                param=field,
            )
        self._seen.add(field)
        self._field, self._text = field, b""
        if field == FILE:
            self.file_name = _file_name(name)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field == FILE:
            self._pieces.append(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > FIELD_BYTES:
            raise PayloadTooLarge(
                f"{self._field} is longer than {FIELD_BYTES:,} bytes. Send a shorter one.",
                param=self._field,
            )

    def _end_part(self) -> None:
        if self._field != FILE:
            try:
                self.fields[self._field] = self._text.decode()
            except UnicodeDecodeError as error:
                raise InvalidRequest(
                    f"{self._field} is no UTF-8 text.", param=self._field
                ) from error

    def _end(self) -> None:
        self._ended = True


def _file_name(name: bytes | None) -> str:
    if name is None:
        raise InvalidRequest(
            f"The field {FILE!r} holds text and no file. Send the document as a file, {_HOW}.",
            param=FILE,
        )
    decoded = name.decode("utf-8", "replace")
    if not decoded.strip():
        raise InvalidRequest(
            "The file has no name. Choose a file, and send it under its name: its ending is part "
            "of what tells its kind.",
            param=FILE,
        )
    return decoded


def _broken() -> InvalidRequest:
    return InvalidRequest(
        "The form cannot be read: its parts do not keep to the boundary that its Content-Type "
        f"names, or it ends early. Let your HTTP client write the form, {_HOW}."
    )
