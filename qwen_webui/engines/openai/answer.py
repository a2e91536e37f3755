"""The pieces of a streamed answer, as events of ours.

Calls of tools, which a server has parsed already, become the Hermes text that engines give: chat/
reads that from every engine alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from qwen_webui.engines.openai.failures import read
from qwen_webui.errors import GenerationFailed
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import FinishReason, TextDelta, TokenLogprob

_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "stop",
    "function_call": "stop",
}


class Vocabulary:
    """Ids of a tokenizer's tokens by their bytes. Takes time to make: in a thread."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        ids = range(tokenizer.vocabulary)
        self._ids = {tokenizer.token_bytes(i) or tokenizer.token_text(i).encode(): i for i in ids}

    def id_of(self, told: Mapping[str, Any]) -> int:
        """Of a token as a server tells it; -1 for one that the tokenizer does not have."""
        told_bytes = told.get("bytes")
        own = bytes(told_bytes) if told_bytes else str(told["token"]).encode()
        return self._ids.get(own, -1)


class AnswerPieces:
    """One answer. `logprobs` as it was asked for; without a vocabulary no token is known."""

    def __init__(self, vocabulary: Vocabulary | None, logprobs: int | None) -> None:
        self._vocabulary = vocabulary
        self._logprobs = logprobs
        self._said = False
        self._call: int | None = None
        self.tokens = 0
        self.reason: FinishReason | None = None
        self.usage: Mapping[str, Any] | None = None

    def chat(self, chunk: Mapping[str, Any]) -> Iterator[TextDelta]:
        """Of /chat/completions."""
        with read():
            choice = self._choice(chunk)
            delta = choice.get("delta") or {}
            told = (choice.get("logprobs") or {}).get("content") or []
            calls = "".join(map(self._call_text, delta.get("tool_calls") or ()))
            text = (delta.get("content") or "") + calls + self._end(choice)
            found = self._delta(text, told)
        if found is not None:
            yield found

    def text(self, chunk: Mapping[str, Any]) -> Iterator[TextDelta]:
        """Of /completions, which tells tokens as text: those that hold a part of a character are
        all the same there, so no ids are given and that of a log-probability may be -1."""
        with read():
            choice = self._choice(chunk)
            told = choice.get("logprobs") or {}
            tokens = told.get("tokens") or []
            tops = told.get("top_logprobs") or [{}] * len(tokens)
            listed = [
                {
                    "token": token,
                    "logprob": value,
                    "top_logprobs": [{"token": t, "logprob": v} for t, v in (top or {}).items()],
                }
                for token, value, top in zip(
                    tokens, told.get("token_logprobs") or [], tops, strict=True
                )
            ]
            found = self._delta((choice.get("text") or "") + self._end(choice), listed)
            if found is not None:
                found = replace(found, token_ids=())
        if found is not None:
            yield found

    def _choice(self, chunk: Mapping[str, Any]) -> Mapping[str, Any]:
        self.usage = chunk.get("usage") or self.usage
        choices: Sequence[Mapping[str, Any]] = chunk.get("choices") or []
        return choices[0] if choices else {}

    def _end(self, choice: Mapping[str, Any]) -> str:
        """What completes the text; empty before the end."""
        reason = choice.get("finish_reason")
        if not reason:
            return ""
        if reason not in _REASONS:
            raise GenerationFailed(
                f"The server that computes ended the answer because of {str(reason)[:40]!r}. "
                "Change the request."
            )
        self.reason = _REASONS[reason]
        return self._closed() if reason != "length" else ""

    def _call_text(self, told: Mapping[str, Any]) -> str:
        function = told.get("function") or {}
        arguments = str(function.get("arguments") or "")
        if told["index"] == self._call:
            return arguments
        before = self._closed() + ("\n" if self._said else "")
        self._call, self._said = told["index"], True
        name = json.dumps(function["name"], ensure_ascii=False)
        return f'{before}<tool_call>\n{{"name": {name}, "arguments": {arguments}'

    def _closed(self) -> str:
        if self._call is None:
            return ""
        self._call = None
        return "}\n</tool_call>"

    def _delta(self, text: str, told: Sequence[Mapping[str, Any]]) -> TextDelta | None:
        self._said = self._said or bool(text)
        logprobs = tuple(self._logprob(token) for token in told) if self._vocabulary else ()
        self.tokens += len(told) or bool(text)
        if not text and not logprobs:
            return None
        ids = tuple(one.token_id for one in logprobs)
        return TextDelta(text, ids, () if self._logprobs is None else logprobs)

    def _logprob(self, told: Mapping[str, Any]) -> TokenLogprob:
        assert self._vocabulary is not None, "tokens are only told with a vocabulary"
        # Some servers tell the chosen token in addition to the alternatives that were asked for.
        tops = (told.get("top_logprobs") or ())[: self._logprobs or 0]
        return TokenLogprob(
            self._vocabulary.id_of(told),
            str(told["token"]),
            float(told["logprob"]),
            tuple(
                (self._vocabulary.id_of(top), str(top["token"]), float(top["logprob"]))
                for top in tops
            ),
        )
