"""A checkpoint computed by transformers, the reference path: load, generate, score, unload.

Blocking. One implementation for FP16, GPTQ and AWQ. Whether it is taken is said in paths.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import DynamicCache, GenerationConfig, LogitsProcessorList

from qwen_webui.engines import device as devices
from qwen_webui.engines.cancelling import LayerHooks, Ticket
from qwen_webui.engines.compiled import Grammars
from qwen_webui.engines.constraint import guiding
from qwen_webui.engines.dense import read_dense
from qwen_webui.engines.failures import is_out_of_memory
from qwen_webui.engines.kernels import candidates, kernel_of, quantization
from qwen_webui.engines.loading import (
    Model,
    choose_dtype,
    read_config,
    read_model,
    sampling_defaults,
    threads_for,
    weights_bytes,
)
from qwen_webui.engines.progress import Emit, PrefillProgress
from qwen_webui.engines.room import (
    check_distributions,
    refuse_long_text,
    refuse_unknown,
    room_for_answer,
)
from qwen_webui.engines.sampler import Sampler
from qwen_webui.engines.scoring import SCORED_AT_ONCE, Reading, Scores, Tops
from qwen_webui.engines.streamer import AnswerComplete, TokenStreamer
from qwen_webui.errors import CheckpointError
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import (
    DistributionRequest,
    Distributions,
    Dtype,
    EngineInfo,
    GenerationRequest,
    LoadPlan,
    Message,
    Sampling,
)

# Tokens computed at once. Bounds the memory of a prefill and the time until a cancel is seen.
CHUNK = {"cpu": 256, "cuda": 2048}
GREEDY = Sampling(0.0, 1.0, 0, 0.0, 1.0, 0.0, 0.0, max_new_tokens=4)

log = logging.getLogger(__name__)


class LoadedModel:
    """A model on its device. `generate` and `score` may run in several threads at once."""

    def __init__(
        self, plan: LoadPlan, model: Model, tokenizer: ChatTokenizer, dtype: Dtype
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._grammars = Grammars(Path(plan.folder), model.config.vocab_size)
        self._hooks = LayerHooks(model.model.layers)
        self._device = torch.device(plan.device)
        self._chunk = CHUNK[plan.device]
        self._threads = threads_for(plan)
        self.info = EngineInfo(
            checkpoint=plan.spec,
            device=plan.device,
            device_name=devices.name_of(self._device),
            dtype=dtype,
            kernel=kernel_of(model.model.layers[0]),
            max_context=plan.max_context,
            defaults=sampling_defaults(model.generation_config),
            stop_ids=tokenizer.stop_ids,
            weights_bytes=weights_bytes(model),
            load_seconds=0.0,
        )
        # What generate() would add to ours unasked: the sampler applies these, once.
        model.generation_config = GenerationConfig(pad_token_id=tokenizer.stop_ids[0])

    def generate(self, request: GenerationRequest, ticket: Ticket, emit: Emit) -> None:
        """Emit Progress* TextDelta* Finished."""
        sampling = request.sampling.over(self.info.defaults)
        prompt = self._tokenizer.encode_request(request)
        room = room_for_answer(len(prompt), self.info.max_context, sampling.max_new_tokens)
        vocabulary = self._model.config.vocab_size
        prefill = PrefillProgress(len(prompt), self._chunk, emit)
        with guiding(
            self._grammars, sampling.constraint, self.info.stop_ids, room, self._device
        ) as guide:
            sampler = Sampler(
                sampling, self._tokenizer, vocabulary, self._device, len(prompt), guide
            )
            streamer = TokenStreamer(self._tokenizer, sampler, sampling.stop, ticket, emit)
            ticket.check()
            with self._computing(ticket, prefill.entered):
                try:
                    self._run(prompt, room, sampler, streamer)
                except AnswerComplete:
                    log.debug("the answer was complete")
            streamer.finish()

    def score(self, token_ids: tuple[int, ...], ticket: Ticket) -> list[float]:
        """Natural-log probability of each token after the first: n - 1 values."""
        refuse_long_text(len(token_ids), self.info.max_context)
        refuse_unknown(token_ids, self._model.config.vocab_size, "token_ids")
        scores = Scores(token_ids)
        self._read(token_ids, scores, ticket)
        return scores.values

    def distributions(self, asked: DistributionRequest, ticket: Ticket) -> Distributions:
        """What the positions of a text predict."""
        check_distributions(asked, self.info.max_context, self._model.config.vocab_size)
        tops = Tops(asked)
        self._read(asked.token_ids, tops, ticket)
        return tops.found()

    def warm_up(self) -> None:
        """A short greedy answer: quantised weights are repacked by the first forward pass, and
        a checkpoint that computes no numbers shows now. Raises what generate raises."""
        hello = GenerationRequest("warm-up", (Message("user", "Hello!"),), GREEDY)
        self.generate(hello, Ticket(), lambda _: None)
        self._grammars.read_ahead()

    def unload(self) -> None:
        """Free everything. The model cannot be used afterwards."""
        del self._model, self._hooks
        devices.give_back()

    def _read(self, token_ids: tuple[int, ...], reading: Reading, ticket: Ticket) -> None:
        """Have `reading` take the logits of every token but the last."""
        ids = torch.tensor([token_ids], device=self._device)
        cache = DynamicCache(config=self._model.config)
        with self._computing(ticket, lambda _: None):
            for start in range(0, len(token_ids) - 1, SCORED_AT_ONCE):
                part = ids[:, start : min(start + SCORED_AT_ONCE, len(token_ids) - 1)]
                logits = self._model(part, past_key_values=cache, use_cache=True).logits[0]
                reading.take(start, logits.float())

    @contextmanager
    def _computing(self, ticket: Ticket, entered: Callable[[int], None]) -> Iterator[None]:
        # OpenMP keeps this number for each thread that computes.
        torch.set_num_threads(self._threads)
        with self._hooks.watching(ticket, entered), torch.inference_mode():
            yield

    def _run(self, prompt: list[int], room: int, sampler: Sampler, streamer: TokenStreamer) -> None:
        ids = torch.tensor([prompt], device=self._device)
        settings = GenerationConfig(
            max_new_tokens=room,
            do_sample=False,  # the sampler draws; what it leaves has one possible token
            eos_token_id=list(self.info.stop_ids),
            pad_token_id=self.info.stop_ids[0],
            use_cache=True,
            prefill_chunk_size=self._chunk if len(prompt) > self._chunk else None,
        )
        self._model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=settings,
            logits_processor=LogitsProcessorList([sampler]),
            streamer=streamer,
        )


def load_reference(plan: LoadPlan) -> LoadedModel:
    """The model, tried out. Raises what the libraries raise, and CheckpointError."""
    tokenizer = ChatTokenizer.load(Path(plan.folder))
    config = read_config(plan)
    dtype = choose_dtype(plan, config)
    *others, last = candidates(quantization(config), plan.device)
    for kernel in others:
        try:
            return _try(plan, tokenizer, dtype, kernel)
        except Exception as error:
            if is_out_of_memory(error) or isinstance(error, CheckpointError):
                raise
            log.warning("kernel %s does not work here: %s", kernel, error)
        devices.give_back()
    return _try(plan, tokenizer, dtype, last)


def load_dense(plan: LoadPlan, reason: str) -> LoadedModel:
    """The model with its quantised weights in full, tried out; `reason` is why. Raises also
    NotForThisPath."""
    tokenizer = ChatTokenizer.load(Path(plan.folder))
    config = read_config(plan)
    dtype = choose_dtype(plan, config)
    model = LoadedModel(plan, read_dense(plan, config, dtype, reason), tokenizer, dtype)
    model.warm_up()
    return model


def _try(plan: LoadPlan, tokenizer: ChatTokenizer, dtype: Dtype, kernel: str | None) -> LoadedModel:
    model = LoadedModel(plan, read_model(plan, read_config(plan), dtype, kernel), tokenizer, dtype)
    model.warm_up()
    return model
