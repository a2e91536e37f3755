"""Under which names the server answers, and where a person finds it."""

from __future__ import annotations

import ipaddress
import socket

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
# Reserved for documentation: nothing is sent, the system only says which way it would go.
ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` is reached from this computer alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def answered_names(host: str, allowed: tuple[str, ...], *, keyed: bool) -> frozenset[str]:
    """The Host names a server bound to `host` answers to; empty means all. Without a key, a page
    of any other name that resolves to this computer is an attack (DNS rebinding)."""
    if not allowed and (keyed or not is_loopback(host)):
        return frozenset()
    return frozenset((*LOOPBACK, in_address(host).lower(), *allowed))


def without_port(host: str) -> str:
    """The name in a Host header."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdecimal() else host.lower()


def in_address(host: str) -> str:
    """`host` as it stands in an address."""
    return f"[{host}]" if ":" in host else host


def reachable_names(host: str) -> list[str]:
    """The names that lead to a server bound to `host`, for the console: for one bound to every
    address of this computer, the one that others see, and the loopback one."""
    try:
        every = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        every = False
    if not every:
        return [in_address(host)]
    seen = _seen_by_others(socket.AF_INET6 if ":" in host else socket.AF_INET)
    return [*([in_address(seen)] if seen else []), "127.0.0.1"]


def _seen_by_others(family: socket.AddressFamily) -> str | None:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((ELSEWHERE[family], 9))
            return str(probe.getsockname()[0])
        except OSError:  # no way out of this computer
            return None
