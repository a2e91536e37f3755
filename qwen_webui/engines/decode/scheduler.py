"""One thread that owns the device: who is computed next, step after step.

A step: those that left are dropped, those for whom there is room get a row and pages, one piece of
a prompt is computed, then one token of every running answer is computed and drawn. Chooses no
tokens (sampling.py), computes none (computer.py), and makes no text of them (model.py).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from qwen_webui.engines.cancelling import Cancelled
from qwen_webui.engines.decode.computer import Computer
from qwen_webui.engines.decode.line import Line
from qwen_webui.engines.decode.loop import Loop
from qwen_webui.engines.decode.pace import Patience
from qwen_webui.engines.decode.pages import Pages
from qwen_webui.engines.decode.prompts import Prompts
from qwen_webui.engines.decode.sampling import Choice, Draws, Rows
from qwen_webui.engines.decode.sequence import Ended, Said, Sequence, Verdict
from qwen_webui.engines.decode.transfer import sent
from qwen_webui.engines.failures import NOT_FINITE, copied, is_out_of_memory
from qwen_webui.errors import GenerationFailed

log = logging.getLogger(__name__)


class Scheduler:
    """`submit`, `judge` and `leave` may be called from any thread."""

    def __init__(self, computer: Computer, before: Callable[[], None]) -> None:
        self.pages = Pages(computer.pages, computer.page_tokens)
        self._computer = computer
        self._sampler = computer.sampler()
        self._tokens = torch.zeros(computer.rows, dtype=torch.int64, device=computer.device)
        self._prompts = Prompts(computer)
        self._line = Line(self.pages, computer.rows)
        self._entering: deque[Sequence] = deque()
        self._running: list[Sequence] = []
        self._unread: list[tuple[Draws, list[Sequence]]] = []
        self._patience = Patience()
        self._loop = Loop(self._step, self._end_all)
        self._loop.start(before)

    def submit(self, sequence: Sequence) -> None:
        """Put it in line."""
        with self._loop.stirring():
            if self._loop.closing:
                sequence.news.put(Ended(Cancelled()))
            else:
                self._line.waiting.append(sequence)

    def judge(self, sequence: Sequence, verdicts: list[Verdict]) -> None:
        """On the last token of a constrained sequence, and on those that follow from it."""
        with self._loop.stirring():
            assert sequence.constrained is not None, "only a constrained answer is judged"
            sequence.constrained.verdicts.extend(verdicts)

    def leave(self, sequence: Sequence) -> None:
        """No more of it is wanted. Harmless when it has ended."""
        with self._loop.stirring():
            sequence.left = True

    def close(self) -> None:
        """End all, then the thread; the computer with it."""
        self._loop.close()

    def _end_all(self) -> None:
        for sequence in [*self._line.waiting, *self._entering, *self._running]:
            self._end(sequence, Cancelled())
        self._computer.close()

    def _step(self) -> bool:
        """Whether anything was done."""
        try:
            self._drop()
            self._admit()
            return self._enter() | self._advance()
        except Exception as error:
            # Whatever it was, it was no single request's: those that compute end with it.
            log.error("the scheduler failed: %s", type(error).__name__, exc_info=error)
            for sequence in [*self._entering, *self._running]:
                self._end(sequence, error)
            self._unread.clear()
            return True

    def _drop(self) -> None:
        for sequence in [*self._line.waiting, *self._entering, *self._running]:
            if sequence.left or sequence.ticket.cancelled:
                self._end(sequence, Cancelled())

    @contextmanager
    def _costing(self, *sequences: Sequence) -> Iterator[None]:
        """An error inside ends these and no others."""
        try:
            yield
        except Exception as error:
            log.info("a request failed", exc_info=error)
            for sequence in sequences:
                self._end(sequence, error)

    def _admit(self) -> None:
        for sequence in self._line.admitted(self._end):
            self._entering.append(sequence)
            with self._costing(sequence):
                assert sequence.holding is not None, "it was admitted with its pages"
                self._computer.seat(sequence.row, sequence.holding.pages)
                if sequence.drawing is not None:
                    sequence.drawing.row = sequence.row
                    self._sampler.seat(sequence.drawing, sequence.prompt)

    def _enter(self) -> bool:
        """One piece of the prompt that came first."""
        if not self._entering:
            return False
        sequence = self._entering[0]
        with self._costing(sequence):
            logits = self._prompts.enter(sequence, running=bool(self._running))
            if logits is not None:
                self._begin(sequence, logits)
            elif sequence.scored:
                self._end(sequence, None)
        return True

    def _begin(self, sequence: Sequence, logits: Tensor) -> None:
        """Its answer, from the logits of its prompt."""
        self._entering.popleft()
        self._running.append(sequence)
        if sequence.constrained is not None:
            sequence.constrained.ahead = logits.clone()
        else:
            self._draw(logits[None], [sequence])

    def _advance(self) -> bool:
        """One token more for all that can have one, in the batch the free ones first."""
        batch = [sequence for sequence in self._running if sequence.computable]
        batch.sort(key=lambda sequence: sequence.constrained is not None)
        if not batch:
            return self._read() | self._draw_ready([], None)
        rows = [sequence.row for sequence in batch]
        try:
            logits = self._computer.decode(rows, self._last(rows), [s.position for s in batch])
        except Exception as error:
            log.warning("a step failed: %s", type(error).__name__, exc_info=error)
            # Who came last made it too much for the memory; the others are computed again.
            for sequence in batch[-1:] if is_out_of_memory(error) else batch:
                self._end(sequence, error)
            return True
        self._read()
        self._patience.step_began()
        for place, sequence in enumerate(batch):
            if sequence.constrained is not None and not sequence.over:
                with self._costing(sequence):
                    sequence.constrained.ahead = logits[place].clone()
        self._await_verdicts()
        self._draw_ready(batch, logits)
        return True

    def _draw_ready(self, batch: list[Sequence], logits: Tensor | None) -> bool:
        """A token for the free ones of a step, whose `logits` these are, and for every constrained
        one whose last token was judged, now or long ago. Whether there was anybody."""
        free = [s for s in batch if s.constrained is None]
        bound = [s for s in self._running if s.constrained is not None]
        judged = [(s, source) for s in bound if (source := self._judged(s)) is not None]
        if logits is not None and free and len(free) == len(batch) and not judged:
            self._draw(logits, free, self._computer.likeliest(len(free)))
        elif free or judged:
            own = [] if logits is None else list(logits[: len(free)])
            rows = [*own, *(source for _, source in judged)]
            self._draw(rows, [*free, *(s for s, _ in judged)])
        return bool(free or judged)

    def _judged(self, sequence: Sequence) -> Tensor | None:
        """What the next token of a constrained answer is drawn from, if its last was judged."""
        source = None
        with self._costing(sequence):
            source = sequence.source(self._sampler)
        return source

    def _last(self, rows: list[int]) -> Tensor:
        """What was drawn last in `rows`."""
        return self._tokens[sent(rows, self._tokens.device)]

    def _await_verdicts(self) -> None:
        """As long as the device has something to compute."""
        while self._computer.asynchronous and (seconds := self._patience.left()) > 0:
            if self._loop.wait(self._judged_all, seconds):
                return

    def _judged_all(self) -> bool:
        return all(s.constrained is None or s.constrained.verdict for s in self._running)

    def _draw(self, logits: Rows, sequences: list[Sequence], best: Tensor | None = None) -> None:
        """`best` are the likeliest of the same rows, where the device has found them already.
        Where memory lacks for all they are drawn one by one, and who fails alone ends."""
        try:
            self._draw_together(logits, sequences, best)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            failure = copied(error)
        else:
            return
        # Outside `except`: inside it the traceback would still hold what filled the memory.
        for place, sequence in enumerate(sequences):
            if len(sequences) == 1 or sequence.lost:
                self._end(sequence, failure)
                continue
            own = None if best is None else best[place : place + 1]
            self._draw(logits[place][None], [sequence], own)

    def _draw_together(
        self, logits: Rows, sequences: list[Sequence], likeliest: Tensor | None
    ) -> None:
        # All that takes memory comes before what a second try would count twice.
        rows = sent([s.row for s in sequences], self._tokens.device)
        drawings = [s.drawing for s in sequences if s.drawing is not None]
        if likeliest is not None and all(drawing.plain for drawing in drawings):
            draws = self._sampler.take(likeliest, drawings)
        else:
            draws = self._sampler.draw(logits, drawings)
        self._tokens.index_copy_(0, rows, draws.tokens)
        for sequence in sequences:
            sequence.drawn += 1
        self._unread.append((draws, sequences))
        # Otherwise once the next step is under way: the device does not wait for the host.
        if not self._computer.asynchronous:
            self._read()

    def _read(self) -> bool:
        """Tell what was drawn since the last time; who has said all ends."""
        unread, self._unread = self._unread, []
        for draws, sequences in unread:
            with self._costing(*sequences):
                # Constrained ones, which are last, first: the next draw waits for their verdicts.
                for sequence, choice in reversed([*zip(sequences, draws.read(), strict=True)]):
                    if not sequence.over:
                        self._hear(sequence, choice)
        return bool(unread)

    def _hear(self, sequence: Sequence, choice: Choice) -> None:
        if not choice.finite:
            self._end(sequence, GenerationFailed(NOT_FINITE))
            return
        if not sequence.said:
            self._keep(sequence)
        sequence.said.append(choice.token)
        sequence.news.put(Said(choice))
        whole = choice.token in sequence.stop_ids or len(sequence.said) >= sequence.room
        # Whether the last token of a constrained answer stands, others say.
        if whole and sequence.constrained is None:
            self._end(sequence, None)

    def _keep(self, sequence: Sequence) -> None:
        """Others may read what is in the cache of it: it was computed and is finite."""
        assert sequence.holding is not None, "it was computed in pages"
        known = sequence.prompt + sequence.said[:-1]
        self.pages.filled(sequence.holding, known)

    def _end(self, sequence: Sequence, error: Exception | None) -> None:
        """Out of the line or off the device, at once. Harmless twice; raises nothing."""
        if sequence.over:
            return
        for room in (self._entering, self._running):
            if sequence in room:
                room.remove(sequence)
        sequence.over = True
        try:
            if sequence.said and sequence.holding and not isinstance(error, GenerationFailed):
                self._keep(sequence)
            self._line.give_back(sequence)
        except Exception as broken:
            # Whoever waits hears of the end, even if some pages are lost.
            log.error("the pages of a request were not given back", exc_info=broken)
        sequence.news.put(Ended(copied(error) if error else None))
