"""Train the tokenizer of the embedded checkpoint and write it as a Qwen2 tokenizer folder.

A byte-level BPE with Qwen's pre-tokenizer and ChatML control tokens. It does not train the model
and reads no text but what it is given: the generator's own chats.

The model learns to copy, and copying is easy only if a value is cut alike wherever it stands. So
the merges are learned on text in which every Han character, every space and every word stands
alone, and afterwards a few hundred merges "space + frequent word" are appended. At run time Qwen's
stock pattern is used; the late merges can only join pieces that are whole words already.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

ENDOFTEXT, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTROL_TOKENS = (ENDOFTEXT, IM_START, IM_END)
TOOL_TOKENS = ("<tool_call>", "</tool_call>")
CONTEXT = 2048

# What Qwen2's tokenizer applies at run time; loaders rebuild it, so it must be this very pattern.
STOCK_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Only while merges are learned: Han characters, words and single spaces apart from each other.
LEARNING_PATTERN = r"\p{Han}|\p{Lu}?\p{Ll}+|\p{L}|\p{N}|[^\s\p{L}\p{N}]+|[\r\n]+| {2,}|\s"
SPACE = "\u0120"  # how byte-level BPE writes a space


def train(texts: Iterable[str], size: int, spaced_words: int = 400) -> Tokenizer:
    """A tokenizer with exactly `size` entries, control tokens included (last, as in Qwen).

    `spaced_words` of the entries are "space + word" for the words most often met after a space.
    The text must have enough different words for both.
    """
    texts = list(texts)
    room = size - len(CONTROL_TOKENS) - len(TOOL_TOKENS)
    learned = _learn(texts, room - spaced_words)
    model = json.loads(learned.to_str())["model"]
    vocabulary: dict[str, int] = model["vocab"]
    merges: list[list[str]] = [list(pair) for pair in model["merges"]]
    for word in _frequent_words(texts, vocabulary, room - len(vocabulary)):
        vocabulary[SPACE + word] = len(vocabulary)
        merges.append([SPACE, word])
    assert len(vocabulary) == room, f"{len(vocabulary)} entries learned, {room} wanted: more text"
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=[(left, right) for left, right in merges]))
    _set_stock_pipeline(tokenizer)
    tokenizer.add_special_tokens([_control(token) for token in CONTROL_TOKENS])
    tokenizer.add_tokens(
        [AddedToken(token, normalized=False, special=False) for token in TOOL_TOKENS]
    )
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, default_system: str) -> None:
    """Write the two files from which transformers makes a Qwen2 tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config: dict[str, Any] = {
        "tokenizer_class": "Qwen2Tokenizer",
        "model_max_length": CONTEXT,
        "model_input_names": ["input_ids", "attention_mask"],
        "bos_token": None,
        "eos_token": IM_END,
        "pad_token": ENDOFTEXT,
        "unk_token": None,
        "add_bos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": False,
        "errors": "replace",
        "additional_special_tokens": [IM_START, IM_END],
        "added_tokens_decoder": {
            str(tokenizer.token_to_id(token)): {
                "content": token,
                "lstrip": False,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
                "special": token in CONTROL_TOKENS,
            }
            for token in (*CONTROL_TOKENS, *TOOL_TOKENS)
        },
        "chat_template": chat_template(default_system),
    }
    text = json.dumps(config, ensure_ascii=False, indent=1)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")


def chat_template(default_system: str) -> str:
    """The Jinja template, of the same form as Qwen's, with our own default system line."""
    assert "'" not in default_system, "the template quotes the default system line with '"
    template = Path(__file__).with_name("chat_template.jinja").read_text(encoding="utf-8")
    return template.replace("@DEFAULT_SYSTEM@", default_system)


def _control(token: str) -> AddedToken:
    return AddedToken(token, normalized=False, special=True)


def _learn(texts: list[str], size: int) -> Tokenizer:
    tokenizer = Tokenizer(BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LEARNING_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _set_stock_pipeline(tokenizer: Tokenizer) -> None:
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(STOCK_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()


def _frequent_words(texts: list[str], vocabulary: dict[str, int], count: int) -> list[str]:
    """The words and marks that most often follow a space and are one entry already."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word.strip(".,:;!?()[]\"'") for word in text.split(" ")[1:])
    known = (word for word, _ in counts.most_common() if word.isascii() and word in vocabulary)
    chosen = [word for word in known if word and SPACE + word not in vocabulary]
    return chosen[:count]


def generated_texts(count: int, seed: int) -> Iterator[str]:
    """Message contents of `count` training examples of the generator."""
    from demo_training.examples import example

    rng = random.Random(seed)
    for _ in range(count):
        made = example(rng, "train")
        for message in made.messages:
            yield message.get("content") or ""
            if message.get("tool_calls"):
                yield json.dumps(message["tool_calls"], ensure_ascii=False)
        for tool in made.tools:
            yield json.dumps(tool, ensure_ascii=False)


def main() -> None:
    """`python -m demo_training.tokenizer FOLDER`: train on generated chats and save."""
    from demo_training.examples import DEFAULT_SYSTEM

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=5120)
    parser.add_argument("--examples", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    tokenizer = train(generated_texts(arguments.examples, arguments.seed), arguments.size)
    save(tokenizer, arguments.folder, DEFAULT_SYSTEM)
    print(f"{tokenizer.get_vocab_size()} entries written to {arguments.folder}")


if __name__ == "__main__":
    main()
