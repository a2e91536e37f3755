"""What a checkpoint's tokenizer files say, read once and checked.

Reads tokenizer.json, tokenizer_config.json, chat_template.jinja, generation_config.json and
config.json; nothing of the weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from qwen_webui.errors import CheckpointError, CheckpointMissing

_SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token")


@dataclass(frozen=True)
class TokenizerFiles:
    """The tokenizer with every added token marked special, and what belongs to it.

    `added` maps the text of an added token to its id, `special` are the ids that the checkpoint
    itself calls special, `names` are bos_token, eos_token ... for the template.
    """

    tokenizer: Tokenizer
    added: Mapping[str, int]
    special: frozenset[int]
    template: str
    names: Mapping[str, str]
    stop_ids: tuple[int, ...]


def read_tokenizer_files(folder: Path) -> TokenizerFiles:
    """Raises CheckpointMissing for a missing file, CheckpointError for one of no use."""
    data = _read_json(folder / "tokenizer.json")
    config = _read_json(folder / "tokenizer_config.json")
    if "ByteLevel" not in json.dumps(data.get("decoder")):
        raise CheckpointError(
            "tokenizer.json is not a byte-level tokenizer, as those of Qwen2 models are. "
            "Use a checkpoint of the Qwen2 architecture."
        )
    added = _added_tokens(data, config)
    # Only tokens marked special can be split, and in untrusted text all of them must be.
    everything_special = [{**token, "special": True} for token in added]
    tokenizer = _build({**data, "added_tokens": everything_special})
    names = {name: text for name in _SPECIAL_NAMES if (text := _token_text(config.get(name)))}
    return TokenizerFiles(
        tokenizer=tokenizer,
        added={token["content"]: token["id"] for token in added},
        special=frozenset(token["id"] for token in added if token["special"]),
        template=_template_source(folder, config),
        names=names,
        stop_ids=_stop_ids(folder, tokenizer, names),
    )


def _read_json(path: Path, *, required: bool = True) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if not required:
            return {}
        raise CheckpointMissing(
            f"The checkpoint has no {path.name}. Put the model's own file into the folder or "
            "download the checkpoint again."
        ) from error
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(
            f"{path.name} of the checkpoint cannot be read as JSON. Download the checkpoint again."
        ) from error
    if not isinstance(data, dict):
        raise CheckpointError(
            f"{path.name} of the checkpoint is not a JSON object. Download the checkpoint again."
        )
    return data


def _added_tokens(data: dict[str, Any], config: dict[str, Any]) -> list[dict[str, Any]]:
    """Copies of tokenizer.json's added tokens, special where either file says so."""
    added = data.get("added_tokens") or []
    sound = isinstance(added, list) and all(
        isinstance(token, dict)
        and isinstance(token.get("content"), str)
        and isinstance(token.get("id"), int)
        for token in added
    )
    if not sound:
        raise CheckpointError(
            "added_tokens in tokenizer.json is not a list of tokens. Download the checkpoint again."
        )
    declared = config.get("added_tokens_decoder")
    extra = declared if isinstance(declared, dict) else {}
    return [
        {**token, "special": bool(token.get("special")) or _declared_special(extra, token["id"])}
        for token in added
    ]


def _declared_special(declared: Mapping[str, Any], number: int) -> bool:
    entry = declared.get(str(number))
    return isinstance(entry, Mapping) and bool(entry.get("special"))


def _build(data: Mapping[str, Any]) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_str(json.dumps({**data, "truncation": None, "padding": None}))
    # tokenizers raises a bare Exception for a file it cannot use.
    except Exception as error:
        raise CheckpointError(
            "tokenizer.json of the checkpoint is damaged. Download the checkpoint again."
        ) from error
    tokenizer.encode_special_tokens = True
    return tokenizer


def _token_text(value: Any) -> str | None:
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else None


def _template_source(folder: Path, config: Mapping[str, Any]) -> str:
    """chat_template.jinja as transformers 5 saves it, else the entry in tokenizer_config.json."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8", errors="replace")
    source = config.get("chat_template")
    if isinstance(source, list):
        named = [item for item in source if isinstance(item, dict)]
        source = next((x.get("template") for x in named if x.get("name") == "default"), None)
    if not isinstance(source, str):
        raise CheckpointError(
            "The checkpoint has no chat template. Use an Instruct model, whose "
            "tokenizer_config.json or chat_template.jinja holds one."
        )
    return source


def _stop_ids(folder: Path, tokenizer: Tokenizer, names: Mapping[str, str]) -> tuple[int, ...]:
    """Tokens that end a turn: of generation_config.json, config.json and the tokenizer."""
    found: list[object] = []
    for name in ("generation_config.json", "config.json"):
        value = _read_json(folder / name, required=False).get("eos_token_id")
        found += value if isinstance(value, list) else [value]
    if "eos_token" in names:
        found.append(tokenizer.token_to_id(names["eos_token"]))
    return tuple(dict.fromkeys(item for item in found if isinstance(item, int)))
