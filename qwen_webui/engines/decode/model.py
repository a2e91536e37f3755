"""A checkpoint computed by our own path: an AnyModel of engines/paths.py.

Turns a request into a sequence for the scheduler and what comes of it into events, in the thread
of the call: text and constraints cost the device no time.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

import torch
from transformers import PretrainedConfig

from qwen_webui.engines import device as devices
from qwen_webui.engines.cancelling import Ticket
from qwen_webui.engines.compiled import Grammars
from qwen_webui.engines.constraint import Guide, guiding
from qwen_webui.engines.decode.computer import Computer
from qwen_webui.engines.decode.judging import Judge
from qwen_webui.engines.decode.sampling import Choice, Drawing
from qwen_webui.engines.decode.scheduler import Scheduler
from qwen_webui.engines.decode.sequence import Constrained, Entered, Placed, Said, Sequence
from qwen_webui.engines.loading import generation_config, sampling_defaults, threads_for
from qwen_webui.engines.progress import Emit
from qwen_webui.engines.room import (
    check_distributions,
    refuse_long_text,
    refuse_unknown,
    room_for_answer,
)
from qwen_webui.engines.scoring import Reading, Scores, Tops
from qwen_webui.engines.streamer import AnswerComplete, TokenStreamer
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import (
    FEW_AT_ONCE,
    DistributionRequest,
    Distributions,
    Dtype,
    EngineInfo,
    GenerationRequest,
    LoadPlan,
    Message,
    Progress,
    Queued,
    Sampling,
    TokenLogprob,
)

# Where masks are written: who draws sends them on.
HERE = torch.device("cpu")
GREEDY = Sampling(0.0, 1.0, 0, 0.0, 1.0, 0.0, 0.0, max_new_tokens=4)


class DecodedModel:
    """A computer with its scheduler. `generate` and `score` may run in many threads at once."""

    def __init__(
        self, plan: LoadPlan, config: PretrainedConfig, computer: Computer, dtype: Dtype
    ) -> None:
        self._tokenizer = ChatTokenizer.load(Path(plan.folder))
        self._grammars = Grammars(Path(plan.folder), computer.vocabulary)
        self._computer = computer
        threads = threads_for(plan)
        self.info = EngineInfo(
            checkpoint=plan.spec,
            device=plan.device,
            device_name=devices.name_of(computer.device),
            dtype=dtype,
            kernel=computer.kernel,
            max_context=plan.max_context,
            defaults=sampling_defaults(generation_config(plan, config)),
            stop_ids=self._tokenizer.stop_ids,
            weights_bytes=computer.weights_bytes,
            load_seconds=0.0,
            at_once=at_once(computer, plan.max_context),
            cache_bytes=computer.cache_bytes,
        )
        # Last: it starts a thread, and who fails before leaves none.
        self.scheduler = Scheduler(computer, lambda: torch.set_num_threads(threads))

    def generate(self, request: GenerationRequest, ticket: Ticket, emit: Emit) -> None:
        """Emit Queued* Progress* TextDelta* Finished."""
        sampling = request.sampling.over(self.info.defaults)
        prompt = self._tokenizer.encode_request(request)
        refuse_unknown(prompt, self._computer.vocabulary, "prompt")
        room = room_for_answer(len(prompt), self.info.max_context, sampling.max_new_tokens)
        drawing = Drawing.of(sampling, self._computer.vocabulary, self._computer.device)
        stops = frozenset(self.info.stop_ids)
        sequence = Sequence(prompt, room, stops, ticket, drawing)
        with guiding(self._grammars, sampling.constraint, self.info.stop_ids, room, HERE) as guide:
            voice = _Voice(self._tokenizer, guide)
            streamer = TokenStreamer(self._tokenizer, voice, sampling.stop, ticket, emit)
            streamer.put(torch.tensor(prompt))
            ticket.check()
            try:
                self._follow(sequence, voice, streamer, emit)
            except AnswerComplete:
                pass
            finally:
                self.scheduler.leave(sequence)
            streamer.cached = sequence.cached
            streamer.finish()

    def score(self, token_ids: tuple[int, ...], ticket: Ticket) -> list[float]:
        """Natural-log probability of each token after the first: n - 1 values."""
        refuse_long_text(len(token_ids), self.info.max_context)
        refuse_unknown(token_ids, self._computer.vocabulary, "token_ids")
        scores = Scores(token_ids)
        if len(token_ids) > 1:
            self._read(token_ids, scores, ticket)
        return scores.values

    def distributions(self, asked: DistributionRequest, ticket: Ticket) -> Distributions:
        """What the positions of a text predict."""
        check_distributions(asked, self.info.max_context, self._computer.vocabulary)
        tops = Tops(asked)
        self._read(asked.token_ids, tops, ticket)
        return tops.found()

    def warm_up(self) -> None:
        """A short greedy answer: a checkpoint that computes no numbers shows now. Raises what
        generate raises."""
        hello = GenerationRequest("warm-up", (Message("user", "Hello!"),), GREEDY)
        self.generate(hello, Ticket(), lambda _: None)
        self._grammars.read_ahead()

    def unload(self) -> None:
        """Free everything. The model cannot be used afterwards."""
        self.scheduler.close()
        del self._computer, self.scheduler
        devices.give_back()

    def _read(self, token_ids: tuple[int, ...], reading: Reading, ticket: Ticket) -> None:
        sequence = Sequence(list(token_ids), 0, frozenset(), ticket, None, reading=reading)
        self.scheduler.submit(sequence)
        try:
            for _ in sequence.listen():
                ticket.check()
        finally:
            self.scheduler.leave(sequence)

    def _follow(
        self, sequence: Sequence, voice: _Voice, streamer: TokenStreamer, emit: Emit
    ) -> None:
        """Up to the end of the answer, or AnswerComplete."""
        judge = None
        if voice.guide is not None:
            judge = Judge(
                voice.guide, sequence.stop_ids,
                lambda verdicts: self.scheduler.judge(sequence, verdicts),
            )  # fmt: skip
            sequence.constrained = Constrained(deque(judge.first()))
            voice.judge = judge
        prompt, said = len(sequence.prompt), 0
        self.scheduler.submit(sequence)
        for news in sequence.listen():
            match news:
                case Placed(place):
                    emit(Queued(place))
                case Entered(tokens):
                    # Short prompts are not worth an event.
                    if prompt > self._computer.piece:
                        emit(Progress("prefill", tokens, prompt, "tokens"))
                case Said(choice):
                    if judge is not None and not judge.stands(choice.token):
                        continue
                    voice.hear(choice)
                    streamer.push(choice.token)
                    said += 1
                    if judge is not None:
                        if choice.token in sequence.stop_ids or said == sequence.room:
                            return
                        judge.go_on()


def at_once(computer: Computer, max_context: int) -> int:
    """Sequences whose whole contexts `computer` has pages for; two may share the pages of one."""
    context = -(-max_context // computer.page_tokens)
    return min(computer.rows, max(FEW_AT_ONCE, computer.pages // context))


class _Voice:
    """What the streamer asks of whoever chose the tokens."""

    def __init__(self, tokenizer: ChatTokenizer, guide: Guide | None) -> None:
        self._tokenizer = tokenizer
        self._report: tuple[TokenLogprob, ...] = ()
        self.guide = guide
        self.judge: Judge | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing can follow what was said."""
        return self.judge is not None and self.judge.complete

    def hear(self, choice: Choice) -> None:
        """The next token."""
        told = choice.logprobs
        if told is None:
            return
        text = self._tokenizer.token_text
        pairs = zip(told.tokens, told.values, strict=True)
        best = tuple((token, text(token), value) for token, value in pairs)
        self._report = (TokenLogprob(choice.token, text(choice.token), told.chosen, best),)

    def report(self) -> tuple[TokenLogprob, ...]:
        """Of the token heard last."""
        return self._report
