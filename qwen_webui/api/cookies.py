"""Reads and writes cookies in a way that holds in a frame of another site too."""

from __future__ import annotations

from starlette.datastructures import Headers

FRAMES = ("iframe", "frame", "embed", "object")


def cookie_values(headers: Headers, name: str) -> list[str]:
    """Every value of the cookie `name`. A browser may send two, one kept for this site and one
    for the frame it is shown in."""
    parts = (part for line in headers.getlist("cookie") for part in line.split(";"))
    pairs = (part.partition("=") for part in parts)
    return [value.strip() for key, _, value in pairs if key.strip() == name]


def set_cookie(headers: Headers, scheme: str, name: str, value: str, seconds: int) -> str:
    """A Set-Cookie for whoever sent `headers`. In a frame of another site a browser keeps only
    what is Secure and kept apart for that site (Partitioned). Whether the page is in a frame it
    says itself, and only over https or on this computer, where it takes Secure too: so this
    works behind a proxy that hides https."""
    place = headers.get("sec-fetch-dest")
    if place in FRAMES or (place is None and scheme == "https"):
        same = "SameSite=None; Secure; Partitioned"
    else:
        same = "SameSite=Lax; Secure" if scheme == "https" else "SameSite=Lax"
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; {same}"
