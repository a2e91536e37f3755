"""The manager's state where others can read it, and wait for its next change."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from qwen_webui.types import ModelStatus


class Board:
    """One ModelStatus at a time. `pending` names the loads that were asked for and are not done;
    `hold` says for which job no other load is taken."""

    def __init__(self) -> None:
        self.now = ModelStatus("empty")
        self.pending: list[str] = []
        self.hold: str | None = None
        self._pulse = asyncio.Event()

    def post(self, **changes: Any) -> None:
        """Change some fields of the status and wake whoever waits for that."""
        self.now = replace(self.now, **changes)
        self._pulse.set()
        self._pulse = asyncio.Event()

    def settle(self, **changes: Any) -> None:
        """Say ready, unless another load was asked for meanwhile: then that one is next."""
        if self.pending:
            self.post(state="swapping", target=self.pending[0], progress=None, **changes)
        else:
            self.post(state="ready", target=None, progress=None, **changes)

    async def changed(self, seen: ModelStatus) -> ModelStatus:
        """The status, as soon as it is another than `seen`."""
        while self.now == seen:
            await self._pulse.wait()
        return self.now
