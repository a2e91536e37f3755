"""Slows an address down that sends wrong keys. Only counts; what is wrong, callers.py says."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FREE_TRIES = 10
FIRST_WAIT, LONGEST_WAIT = 5.0, 600.0  # seconds; each wrong try after the free ones doubles it
FORGOTTEN_AFTER = 3600.0  # seconds without a wrong try
ADDRESSES = 4096  # kept at most; the one longest without a wrong try goes first


@dataclass
class _Record:
    tries: int = 0
    last: float = 0.0
    until: float = 0.0


class Tries:
    """Wrong tries by address. A right key does not clear them: it would let who has an ordinary
    key guess at the admin key for ever."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def wait(self, address: str) -> int:
        """Whole seconds until `address` may try again; 0 when it may."""
        record = self._records.get(_network(address))
        return max(0, math.ceil(record.until - self._clock())) if record else 0

    def wrong(self, address: str) -> None:
        """One more wrong try."""
        now, name = self._clock(), _network(address)
        record = self._records.pop(name, None)
        if record is None or now - record.last > FORGOTTEN_AFTER:
            record = _Record()
        record.tries, record.last = record.tries + 1, now
        over = record.tries - FREE_TRIES
        if over >= 0:
            # The exponent is bounded so that no number of tries overflows.
            record.until = now + min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(over, 30))
        self._records[name] = record
        while len(self._records) > ADDRESSES:
            self._records.popitem(last=False)


def _network(address: str) -> str:
    """Whose address it is: of version 6 anyone has at least 2^64."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.IPv6Network((int(ip) >> 64 << 64, 64)))
    return str(ip)
