"""No name twice in one JSON object: the one rule of an answer that no grammar can hold.

A grammar keeps a schema's own properties apart; names that the writer chooses (a dictionary's)
only this can. Follows text that a grammar already allows, so it parses nothing strictly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from qwen_webui.structured.tools import OPENING
from qwen_webui.types import ConstraintKind

_OPENING = OPENING.encode()
# In a rewritten schema, what lets the writer choose a name.
_OPEN = re.compile(r'"additionalProperties"\s*:\s*\{|"patternProperties"')


@dataclass(frozen=True)
class _Place:
    """Where in a JSON text the writing is. `objects`: for each open container the names it has,
    or None for an array. `text`: bytes of the string being written, None outside of one."""

    objects: tuple[frozenset[bytes] | None, ...] = ()
    text: bytes | None = None
    escaped: bool = False
    naming: bool = False
    outside: bool = False
    seen: bytes = b""
    twice: bool = False

    def after(self, byte: int) -> _Place:
        if self.outside:
            seen = (self.seen + bytes([byte]))[-len(_OPENING) :]
            return replace(self, seen=seen, outside=seen != _OPENING)
        if self.text is not None:
            return self._in_text(byte)
        match byte:
            case 0x22:  # a quote
                return replace(self, text=b"")
            case 0x7B:  # {
                return replace(self, objects=(*self.objects, frozenset()), naming=True)
            case 0x5B:  # [
                return replace(self, objects=(*self.objects, None), naming=False)
            case 0x7D | 0x5D:
                objects = self.objects[:-1]
                done = not objects and bool(self.seen)
                return replace(self, objects=objects, naming=False, outside=done)
            case 0x2C:  # a comma
                return replace(self, naming=bool(self.objects) and self.objects[-1] is not None)
        return self

    def _in_text(self, byte: int) -> _Place:
        assert self.text is not None, "only called inside a string"
        if self.escaped or byte != 0x22:
            escaped = byte == 0x5C and not self.escaped
            return replace(self, text=self.text + bytes([byte]), escaped=escaped)
        if not self.naming:
            return replace(self, text=None)
        names = self.objects[-1] or frozenset()
        twice = self.twice or self.text in names
        objects = (*self.objects[:-1], names | {self.text})
        return replace(self, text=None, naming=False, objects=objects, twice=twice)


class Names:
    """The names written so far. For every piece of text: `allows` it, then `take` it. Costs nothing
    for a `grammar` in which every object's names are given."""

    def __init__(self, kind: ConstraintKind, grammar: str) -> None:
        # Free text may stand before a call; its quotes and braces mean nothing.
        self._place = _Place(outside=kind == "tools")
        json_inside = kind in ("json_schema", "json_object", "tools")
        self._follows = json_inside and _OPEN.search(grammar) is not None

    def allows(self, piece: bytes) -> bool:
        """Whether no name stands twice after `piece`. Linear in its length."""
        if not self._follows or 0x22 not in piece:
            return True  # no quote, no name that is complete
        return not self._moved(piece).twice

    def take(self, piece: bytes) -> None:
        """Go on after `piece`."""
        if self._follows:
            self._place = self._moved(piece)

    def copy(self) -> Names:
        """One that goes its own way."""
        other = Names.__new__(Names)
        other._place, other._follows = self._place, self._follows
        return other

    def _moved(self, piece: bytes) -> _Place:
        place = self._place
        for byte in piece:
            place = place.after(byte)
        return place
