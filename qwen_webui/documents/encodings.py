"""Bytes to text: which encoding, and which characters may stay.

Chinese encodings are told apart by how common the characters are that they give, for short texts
are too little for a statistical detector; the detector decides about everything else.
"""

from __future__ import annotations

import re

from charset_normalizer import from_bytes

from qwen_webui.errors import UnsupportedDocument

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
# The most frequent characters of running text, simplified and traditional.
_COMMON = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过"
    "发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前"
    "开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重"
    "這個們來為國說時會對於過發後裡種經麼學現當沒動進樣開從實軍無與長機關點業將兩間問應電書號頁"
    "，。、：；！？“”《》（）「」0123456789"
)
_ENOUGH = 0.08
_SAMPLE = 200_000
# Everything below a blank but tab and line feed, DEL to NEL, and halves of surrogate pairs.
_UNSOUND = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff￾￿]")
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")


def clean(text: str) -> str:
    """Text with one kind of line end and without characters that no reader sees."""
    return _UNSOUND.sub("", _LINE_ENDS.sub("\n", text))


def decode(data: bytes) -> str:
    """Text of `data`, form feeds kept. Raises UnsupportedDocument when it is no text."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        # A file that was cut in the middle of its last character is UTF-8 all the same.
        if error.start >= len(data) - 3 and error.start > 0:
            return data.decode("utf-8", "replace")
    encoding = _chinese(data) or _detected(data)
    return data.decode(encoding, "replace")


def _chinese(data: bytes) -> str | None:
    best, share = None, _ENOUGH
    for encoding in ("gb18030", "big5hkscs"):
        found = _common_share(data, encoding)
        if found > share:
            best, share = encoding, found
    return best


def _common_share(data: bytes, encoding: str) -> float:
    """Share of very common characters among those outside ASCII; 0 when it is not decodable."""
    sample = data[:_SAMPLE]
    # A sample may end within a character.
    for end in range(len(sample), max(len(sample) - 4, 0), -1):
        try:
            text = sample[:end].decode(encoding)
            break
        except UnicodeDecodeError as error:
            if error.start < end - 4:
                return 0.0
    else:
        return 0.0
    wide = [char for char in text if ord(char) > 127]
    return sum(char in _COMMON for char in wide) / len(wide) if wide else 0.0


def _detected(data: bytes) -> str:
    best = from_bytes(data[:_SAMPLE]).best()
    if best is None:
        raise UnsupportedDocument(
            "The file is not text in any encoding that is known here. Save it as UTF-8 text and "
            "upload it again."
        )
    return str(best.encoding)
