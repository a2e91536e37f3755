"""What crosses between the parts of this room, and the sizes a schema may have."""

from __future__ import annotations

from dataclasses import dataclass

MAX_CHARACTERS = 2_000_000
MAX_DEPTH = 64
MAX_NODES = 20_000
MAX_CHOICES = 2_000
MAX_PATTERN = 2_000
MAX_REPEAT = 10_000
# Of items and properties that must be there, and of properties that one object may name.
MAX_MEMBERS = 1_000
MAX_PROBLEMS = 50


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a schema: where (`#/properties/age/not`), a sentence that says what to
    do, and the code of the refusal."""

    place: str
    sentence: str
    code: str = "schema_unsupported"


@dataclass(frozen=True)
class Prepared:
    """A constraint that can be held. `needed_tokens`: of the shortest valid answer, if known."""

    needed_tokens: int | None = None


def step(place: str, name: str | int) -> str:
    """The place of `name` inside `place`, as a JSON pointer in a URL fragment's form."""
    return f"{place}/{str(name).replace('~', '~0').replace('/', '~1')}"


def located(sentence: str, place: str) -> str:
    """`sentence`, and where it applies; the whole schema needs no place."""
    return sentence if place == "#" else f"{sentence} It stands at {place}."


def last(place: str) -> str:
    """The keyword or name that a place ends with; numbers of items are passed over."""
    return next(part for part in reversed(place.split("/")) if not part.isdigit())


def shown(value: object) -> str:
    """A value inside a sentence, cut."""
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
