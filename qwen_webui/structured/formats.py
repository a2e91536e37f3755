"""The formats of strings that can be held: one regular expression each.

Every expression matches only texts that jsonschema's format checkers (and RFC 3339, 5321, 3986,
4122, 1123) take; rarer spellings are left out so that an answer never fails its final check.
"""

from __future__ import annotations

_YEAR = "[1-9][0-9]{3}"
_LEAP_YEAR = "(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)"
_DATE = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    f"|{_LEAP_YEAR}-02-29)"
)
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
_ZONE = r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_SECONDS = "[0-9]{1,4}S"
_MINUTES = f"[0-9]{{1,4}}M(?:{_SECONDS})?"
_HOURS = f"[0-9]{{1,4}}H(?:{_MINUTES})?"
_TIME_PART = f"T(?:{_HOURS}|{_MINUTES}|{_SECONDS})"
_DAYS = "[0-9]{1,4}D"
_MONTHS = f"[0-9]{{1,4}}M(?:{_DAYS})?"
_YEARS = f"[0-9]{{1,4}}Y(?:{_MONTHS})?"
_DURATION = f"P(?:(?:{_YEARS}|{_MONTHS}|{_DAYS})(?:{_TIME_PART})?|{_TIME_PART}|[0-9]{{1,4}}W)"
_LABEL = "[A-Za-z0-9](?:-?[A-Za-z0-9]){0,30}"
_TOP = "[A-Za-z]{2,20}"
_HOST = rf"(?:{_LABEL}\.){{1,3}}{_TOP}"
_ATOM = "[A-Za-z0-9_+-]{1,30}"
_EMAIL = rf"{_ATOM}(?:\.{_ATOM}){{0,1}}@{_HOST}"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_BYTE}(?:\.{_BYTE}){{3}}"
_GROUP = "[0-9a-fA-F]{1,4}"
_IPV6 = (
    "(?:"
    + "|".join(
        [f"(?:{_GROUP}:){{7}}{_GROUP}", f"::(?:{_GROUP}(?::{_GROUP}){{0,6}})?"]
        + [
            f"{_GROUP}(?::{_GROUP}){{{n - 1}}}::(?:{_GROUP}(?::{_GROUP}){{0,{6 - n}}})?"
            for n in range(1, 7)
        ]
    )
    + ")"
)
_URL_CHARACTER = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_PATH = f"(?:/{_URL_CHARACTER}*)*"
_QUERY = rf"(?:\?(?:{_URL_CHARACTER}|[/?])*)?(?:#(?:{_URL_CHARACTER}|[/?])*)?"
# Of addresses those of the web only: pydantic's HttpUrl has the same format as its AnyUrl.
_URI = rf"https?://{_HOST}(?::[1-9][0-9]{{0,3}})?{_PATH}{_QUERY}"
_HEX = "[0-9a-fA-F]"


def _uuid(version: str) -> str:
    return f"{_HEX}{{8}}-{_HEX}{{4}}-{version}{_HEX}{{3}}-[89abAB]{_HEX}{{3}}-{_HEX}{{12}}"


# Names beyond the standard's are those that pydantic writes. Where one says nothing that a reader
# of the text could check (password), any string will do.
_ANY_TEXT = r"[\s\S]*"
PATTERNS: dict[str, str] = {
    "date": _DATE,
    "time": _CLOCK + _ZONE,
    "date-time": f"{_DATE}T{_CLOCK}{_ZONE}",
    "duration": _DURATION,
    "email": _EMAIL,
    "idn-email": _EMAIL,
    "hostname": _HOST,
    "idn-hostname": _HOST,
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "uri": _URI,
    "iri": _URI,
    "uri-reference": f"(?:{_URI}|(?:/{_URL_CHARACTER}+)+{_QUERY})",
    "iri-reference": f"(?:{_URI}|(?:/{_URL_CHARACTER}+)+{_QUERY})",
    "uuid": _uuid(_HEX),
    **{f"uuid{number}": _uuid(str(number)) for number in (1, 3, 4, 5, 6, 7, 8)},
    "json-pointer": r"(?:/(?:[^~/]|~[01])*)*",
    "ipv4network": rf"{_BYTE}\.{_BYTE}\.{_BYTE}\.0/24",
    "ipvanyaddress": _IPV4,
    "path": ".+",
    "file-path": ".+",
    "directory-path": ".+",
    "password": _ANY_TEXT,
    "binary": _ANY_TEXT,
}
# OpenAPI's formats of numbers, as bounds; None bounds nothing.
NUMBERS: dict[str, tuple[int, int] | None] = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "float": None,
    "double": None,
}
