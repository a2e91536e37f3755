"""Text to tokens and back, with a checkpoint's own tokenizer and chat template.

Used by the web process to count and by the worker to encode: one implementation, so the two
cannot differ. What people write never speaks for the template: a control token inside a message
is encoded as the plain characters it is made of. Loads no weights and imports no torch.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qwen_webui.errors import InvalidRequest
from qwen_webui.tokens.files import TokenizerFiles, read_tokenizer_files
from qwen_webui.tokens.marks import ControlTokens, free_mark, sound, sound_value, texts_in
from qwen_webui.tokens.template import ChatTemplate
from qwen_webui.types import GenerationRequest, Message


class ChatTokenizer:
    """A checkpoint's tokenizer and template. Immutable; safe to use from several threads."""

    # Whether counts are true; see EstimatedTokenizer.
    exact = True

    def __init__(self, files: TokenizerFiles) -> None:
        self._files = files
        self._template = ChatTemplate(files.template, files.names)
        self._control = ControlTokens(list(files.added))
        self._special = ControlTokens([t for t, i in files.added.items() if i in files.special])

    @classmethod
    def load(cls, folder: Path) -> ChatTokenizer:
        """Read the tokenizer files of `folder`. Takes 0.1 to 0.7 s, so call it in a thread.

        Raises CheckpointMissing for a missing file and CheckpointError for one of no use.
        """
        return cls(read_tokenizer_files(folder))

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens that end a turn."""
        return self._files.stop_ids

    @property
    def vocabulary(self) -> int:
        """Number of tokens the tokenizer knows; a model's embedding may have more rows."""
        return int(self._files.tokenizer.get_vocab_size(with_added_tokens=True))

    def encode_chat(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
    ) -> list[int]:
        """Token ids of the conversation in the checkpoint's template, ready for an answer.

        Special tokens inside contents, tool definitions and tool calls become plain text; so do,
        in what users and tools say, all other added tokens (`<tool_call>`, fill-in-the-middle),
        for there the template never means them. Otherwise the ids are those of transformers'
        apply_chat_template. Raises CheckpointError when the template refuses.
        """
        if not messages:
            raise InvalidRequest("A conversation needs at least one message.", param="messages")
        plain: list[dict[str, Any]] = [_as_dict(message) for message in messages]
        offered = [sound_value(tool) for tool in tools]
        texts = list(texts_in([plain, offered]))
        mark = free_mark([self._files.template, *texts])
        rendered = self._template.render(
            [self._untrusted(item["role"]).broken(item, mark) for item in plain],
            [self._control.broken(tool, mark) for tool in offered],
            sum(map(len, texts)),
        )
        return self._with_control_tokens(rendered, mark)

    def encode_prompt(self, prompt: str | Sequence[int]) -> list[int]:
        """Token ids of a raw prompt: of a text in which control tokens count, or the ids
        themselves, which must be tokens that the tokenizer knows."""
        if not prompt:
            raise InvalidRequest("The prompt is empty. Send a text or token ids.", param="prompt")
        if isinstance(prompt, str):
            return self._with_control_tokens(sound(prompt))
        known = self.vocabulary
        if (wrong := next((i for i in prompt if not 0 <= i < known), None)) is not None:
            raise InvalidRequest(
                f"The prompt holds token {wrong}; this model has tokens 0 to {known - 1}.",
                param="prompt",
            )
        return list(prompt)

    def encode_request(self, request: GenerationRequest) -> list[int]:
        """Token ids of what an engine is asked: a raw prompt, or messages in the template."""
        if request.prompt is not None:
            return self.encode_prompt(request.prompt)
        return self.encode_chat(request.messages, request.tools)

    def count_chat(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
    ) -> int:
        """How many tokens `encode_chat` gives."""
        return len(self.encode_chat(messages, tools))

    def count_prompt(self, prompt: str | Sequence[int]) -> int:
        """How many tokens `encode_prompt` gives."""
        return len(self.encode_prompt(prompt))

    def encode(self, text: str) -> list[int]:
        """Token ids of untrusted text: no control token comes out, whatever stands in it."""
        if not text:
            return []
        # As a batch of one: unlike encode(), that lets other threads run meanwhile.
        batch = self._files.tokenizer.encode_batch_fast([sound(text)], add_special_tokens=False)
        return list(batch[0].ids)

    def count(self, text: str) -> int:
        """How many tokens `encode` gives."""
        return len(self.encode(text))

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`, special tokens left out, broken bytes as replacement characters."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")

    def token_text(self, token_id: int) -> str:
        """One token as people can read it, special tokens by name."""
        return self._all_bytes(token_id).decode("utf-8", "replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes a token adds to an answer; none for special and unknown tokens."""
        return b"" if token_id in self._files.special else self._all_bytes(token_id)

    def stream(self) -> IncrementalDecoder:
        """A decoder for one answer."""
        return IncrementalDecoder(self)

    def _with_control_tokens(self, text: str, mark: str = "") -> list[int]:
        """Control tokens in `text` count, unless `mark` breaks them; the mark is left out."""
        ids: list[int] = []
        start = 0
        for found in self._control.pattern.finditer(text):
            ids += self.encode(text[start : found.start()].replace(mark, ""))
            ids.append(self._files.added[found.group()])
            start = found.end()
        return ids + self.encode(text[start:].replace(mark, ""))

    def _untrusted(self, role: str) -> ControlTokens:
        return self._control if role in ("user", "tool") else self._special

    def _all_bytes(self, token_id: int) -> bytes:
        token = self._files.tokenizer.id_to_token(token_id) if token_id >= 0 else None
        if token is None:
            return b""
        try:
            return bytes(_BYTE_OF[char] for char in token)
        except KeyError:  # an added token with characters outside the byte alphabet
            return str(token).encode("utf-8")


class IncrementalDecoder:
    """Tokens in, text out, as soon as a character is whole. Constant work a token."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._tokenizer = tokenizer
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        """The text this token completes; empty for special tokens and half characters."""
        return self._bytes.decode(self._tokenizer.token_bytes(token_id))

    def flush(self) -> str:
        """What is left: a replacement character where the last character stayed incomplete."""
        return self._bytes.decode(b"", final=True)


def _byte_alphabet() -> dict[str, int]:
    """The printable stand-ins for bytes in byte-level BPE (as GPT-2 chose them)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [value for value in range(256) if value not in set(printable)]
    table = {chr(value): value for value in printable}
    return table | {chr(256 + place): value for place, value in enumerate(others)}


_BYTE_OF = _byte_alphabet()


def _as_dict(message: Message) -> dict[str, Any]:
    """The message as templates expect it."""
    plain: dict[str, Any] = {"role": message.role, "content": sound(message.content)}
    if message.tool_calls:
        plain["tool_calls"] = [
            {
                "type": "function",
                "function": {"name": call.name, "arguments": sound_value(call.arguments)},
            }
            for call in message.tool_calls
        ]
    return plain
