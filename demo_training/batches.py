"""Turn generated chats into packed training batches, made by worker processes while the GPU trains.

Documents lie one after another in one long row without padding between them. Only assistant turns
and their `<|im_end|>` are targets. It knows neither the network nor the optimiser.
"""

import itertools
import json
import multiprocessing
import os
import queue
import random
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from demo_training.examples import SKILLS, Example, example

IGNORED = -100
JOINED_SHARE = 0.15
_ASSISTANT = re.compile(r"(<\|im_start\|>assistant\n)(.*?<\|im_end\|>)", re.DOTALL)


class ChatEncoder:
    """Renders with the checkpoint's own template and encodes exactly as at run time."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
        environment.filters["tojson"] = _to_json
        self._template = environment.from_string(config["chat_template"])

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        add_generation_prompt: bool = False,
    ) -> str:
        return self._template.render(
            messages=messages, tools=tools, add_generation_prompt=add_generation_prompt
        )

    def document(self, made: Example) -> "Document":
        """Token ids of the whole conversation and which of them the model is to produce.

        Prompt and answer are encoded apart, as when a prompt is continued token by token.
        """
        pieces = _ASSISTANT.split(self.render(made.messages, made.tools))
        texts = [pieces[0]]
        for opening, answer, rest in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
            texts[-1] += opening
            texts += [answer, rest]
        encoded = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        tokens: list[int] = []
        trained: list[bool] = []
        for place, part in enumerate(encoded):
            tokens += part.ids
            trained += [place % 2 == 1] * len(part.ids)
        return Document(np.array(tokens, np.uint16), np.array(trained, bool))


@dataclass(frozen=True)
class Document:
    tokens: NDArray[np.uint16]
    trained: NDArray[np.bool_]


@dataclass(frozen=True)
class Limits:
    """The fixed sizes of a batch: tokens, documents, trained tokens, tokens a document."""

    tokens: int
    documents: int
    targets: int
    context: int

    @classmethod
    def of(cls, tokens: int, context: int) -> "Limits":
        """Room for documents of 160 tokens on average, of which 32 % are trained."""
        return cls(tokens, max(tokens // 160, 2), max(tokens * 32 // 100, 1), context)


@dataclass(frozen=True)
class Batch:
    """One row. `starts` is padded with the row's length, `targets` with IGNORED.

    `tokens[where[i]]` is the token after which `targets[i]` is to come.
    """

    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    starts: NDArray[np.int32]
    where: NDArray[np.int64]
    targets: NDArray[np.int64]


def pack(documents: Iterator[Document], limits: Limits, padding: int) -> Iterator[Batch]:
    """Fill rows with whole documents; one that is longer than the context is left out."""
    held: list[Document] = []
    used = trained = 0
    for document in documents:
        length, wanted = len(document.tokens), int(document.trained.sum())
        if length > limits.context:
            continue
        full = (
            used + length > limits.tokens
            or trained + wanted > limits.targets
            or len(held) + 1 + -(-(limits.tokens - used) // limits.context) > limits.documents
        )
        if full and held:
            yield _join(held, limits, padding)
            held, used, trained = [], 0, 0
        held.append(document)
        used, trained = used + length, trained + wanted


def _join(documents: list[Document], limits: Limits, padding: int) -> Batch:
    tokens = np.full(limits.tokens, padding, np.int32)
    positions = np.zeros(limits.tokens, np.int32)
    starts = np.full(limits.documents + 1, limits.tokens, np.int32)
    where = np.zeros(limits.targets, np.int64)
    targets = np.full(limits.targets, IGNORED, np.int64)
    at = filled = 0
    for number, document in enumerate(documents):
        length = len(document.tokens)
        starts[number] = at
        tokens[at : at + length] = document.tokens
        positions[at : at + length] = np.arange(length)
        places = np.flatnonzero(document.trained)
        where[filled : filled + len(places)] = at + places - 1
        targets[filled : filled + len(places)] = document.tokens[places]
        at, filled = at + length, filled + len(places)
    # What is left is padding: documents of at most one context, the longest that attention expects.
    for number in range(len(documents), limits.documents):
        starts[number] = at
        left = min(limits.context, limits.tokens - at)
        positions[at : at + left] = np.arange(left)
        at += left
    assert at == limits.tokens, "padding left over: the document limit is too small for the row"
    return Batch(tokens, positions, starts, where, targets)


def documents(folder: Path, seed: int) -> Iterator[Document]:
    """An endless stream of encoded training examples, skills drawn by their shares."""
    encoder, rng = ChatEncoder(folder), random.Random(seed)
    names, shares = list(SKILLS), list(SKILLS.values())
    drawn = (example(rng, "train", rng.choices(names, shares)[0]) for _ in itertools.repeat(None))
    for made in long_histories(drawn, rng):
        yield encoder.document(made)


def long_histories(examples: Iterable[Example], rng: random.Random) -> Iterator[Example]:
    """The examples, some of them joined to conversations of several subjects.

    Only those with the same system message and no tools are joined, and none that asks for what
    the user told about himself: an earlier part could have told it too.
    """
    waiting: dict[str, list[Example]] = {}
    for made in examples:
        system = made.messages[0]["content"] if made.messages[0]["role"] == "system" else ""
        if made.tools or made.skill == "recall" or rng.random() > JOINED_SHARE:
            yield made
            continue
        group = waiting.setdefault(system, [])
        group.append(made)
        if len(group) >= rng.randint(3, 7):
            yield _joined(waiting.pop(system), bool(system))
        elif len(waiting) > 64:
            # A system message that comes only once would wait for ever.
            yield waiting.pop(next(iter(waiting)))[0]


def _joined(group: list[Example], has_system: bool) -> Example:
    first, *others = group
    rest = (message for one in others for message in one.messages[has_system:])
    return replace(first, messages=(*first.messages, *rest))


def _produce(folder: Path, seed: int, limits: Limits, padding: int, out: Any) -> None:
    # One thread a worker: there are as many workers as cores.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    for batch in pack(documents(folder, seed), limits, padding):
        out.put(batch)


class Batches:
    """Endless batches from `workers` processes; a recent one again whenever none is ready.

    `repeated` counts those, so that a run whose generator is too slow is seen.
    """

    def __init__(self, folder: Path, limits: Limits, padding: int, workers: int, seed: int) -> None:
        # Forked, before CUDA is touched: fourteen interpreters start in no time.
        context = multiprocessing.get_context("fork")
        self._queue: Any = context.Queue(maxsize=4 * workers)
        self._kept: deque[Batch] = deque(maxlen=400)
        self._rng = random.Random(seed)
        self.repeated = 0
        self._processes = [
            context.Process(
                target=_produce,
                args=(folder, seed * 1000 + number, limits, padding, self._queue),
                daemon=True,
            )
            for number in range(workers)
        ]

    def __enter__(self) -> "Batches":
        for process in self._processes:
            process.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.terminate()
            process.join()
        self._queue.close()
        self._queue.cancel_join_thread()

    def draw(self, fresh_only: bool = False) -> Batch:
        """The next fresh batch, or one of the last 400 again when none is ready."""
        may_wait = fresh_only or len(self._kept) < 32
        try:
            batch: Batch = self._queue.get(timeout=120) if may_wait else self._queue.get_nowait()
        except queue.Empty:
            if not self._kept:
                raise RuntimeError("No batch came within two minutes: did a worker fail?") from None
            self.repeated += 1
            return self._rng.choice(self._kept)
        self._kept.append(batch)
        return batch


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
