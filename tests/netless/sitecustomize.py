"""A network that fails, for every Python process that has this folder on its PYTHONPATH.

Looking a name up and connecting, to anything but this computer, raises and is written down in the
file that NETLESS_RECORD names. What a library does below Python is not seen.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import Any, NoReturn

LOCAL = ("127.", "::1", "localhost", "0.0.0.0", "::ffff:127.")


def is_local(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    return host is None or host == "" or str(host).lower().startswith(LOCAL)


def refuse(what: str, host: object) -> NoReturn:
    with open(os.environ["NETLESS_RECORD"], "a", encoding="utf-8") as record:
        record.write(f"{what} {host!r} by {os.path.basename(sys.argv[0] if sys.argv else '')}\n")
    if what == "connect":
        raise OSError(errno.ENETUNREACH, "the network is unreachable")
    raise socket.gaierror(socket.EAI_NONAME, "no name is known")


def watched(name: str) -> None:
    """Let the lookup `name` of socket find this computer only."""
    real = getattr(socket, name)

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        return real(host, *args, **kwargs) if is_local(host) else refuse(name, host)

    setattr(socket, name, look_up)


def watched_method(name: str, place: int) -> None:
    """Let the sockets' method `name` reach this computer only; the address is at `place`."""
    real = getattr(socket.socket, name)

    def reach(self: socket.socket, *args: Any) -> Any:
        address = args[place]
        if self.family in (socket.AF_INET, socket.AF_INET6) and not is_local(address[0]):
            refuse("connect", address[0])
        return real(self, *args)

    setattr(socket.socket, name, reach)


if os.environ.get("NETLESS_RECORD"):
    for lookup in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        watched(lookup)
    for method, place in (("connect", 0), ("connect_ex", 0), ("sendto", -1)):
        watched_method(method, place)
