"""The kinds of settings that are more than a number or a word: keys, host names, origins.

Each says in its error what it takes. What the values are used for is up to who takes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

KEY_LENGTH = 8  # the shortest key that is taken

_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?|\[[0-9a-f:.]+\]", re.IGNORECASE)
_ORIGIN = re.compile(
    r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?|\*", re.IGNORECASE | re.ASCII
)
_AMOUNT = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?(%|[mg]i?b|)", re.IGNORECASE | re.ASCII)
_UNITS = {"": 2**30, "mb": 2**20, "mib": 2**20, "gb": 2**30, "gib": 2**30}
_ADDRESS = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?")


def _parts(value: object) -> object:
    """Several values: a flag given more than once, or one text with commas. An empty one stays,
    to be refused: a variable that was meant to hold a key must not mean "no key"."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        return value
    return tuple(
        part.strip() if isinstance(part, str) else part
        for item in given
        for part in (item.split(",") if isinstance(item, str) else [item])
    )


def _secret(key: SecretStr) -> SecretStr:
    text = key.get_secret_value()
    if not text or not all("!" <= c <= "~" for c in text):
        raise ValueError("printable ASCII characters without spaces")
    return key


def _keys(keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    for key in keys:
        text = key.get_secret_value()
        if len(text) < KEY_LENGTH or not all("!" <= c <= "~" for c in text):
            raise ValueError(
                f"keys of at least {KEY_LENGTH} printable ASCII characters without spaces or commas"
            )
    return keys


def _each(pattern: re.Pattern[str], says: str) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    def check(values: tuple[str, ...]) -> tuple[str, ...]:
        if not all(pattern.fullmatch(value) for value in values):
            raise ValueError(says)
        return tuple(value.lower() for value in values)

    return check


def _address(address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        raise ValueError("an address such as http://127.0.0.1:8000/v1")
    return address.rstrip("/")


def _amount(text: str) -> str:
    found = _AMOUNT.fullmatch(text)
    if found is None or (found[2] == "%" and Decimal(found[1]) > 100):
        raise ValueError("a share of the available memory such as 25%, a size such as 8GiB, or 0")
    return text


def amount_bytes(amount: str, available: int) -> int:
    """Bytes that an Amount means on a machine where so many are available."""
    found = _AMOUNT.fullmatch(amount)
    assert found is not None, "an Amount was checked when it was read"
    number, unit = Decimal(found[1]), found[2].lower()
    return int(number * available / 100) if unit == "%" else int(number * _UNITS[unit])


_SEVERAL = (NoDecode, BeforeValidator(_parts))
_NAMES = _each(_HOST_NAME, "names such as example.org, without a scheme, a port or a *")
_ORIGINS = _each(_ORIGIN, "origins such as https://example.org (no path), or *")

Keys = Annotated[tuple[SecretStr, ...], *_SEVERAL, AfterValidator(_keys)]
HostNames = Annotated[tuple[str, ...], *_SEVERAL, AfterValidator(_NAMES)]
Origins = Annotated[tuple[str, ...], *_SEVERAL, AfterValidator(_ORIGINS)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
Address = Annotated[str, AfterValidator(_address)]
# A share of the available memory, or GiB where no unit stands.
Amount = Annotated[str, AfterValidator(_amount)]
