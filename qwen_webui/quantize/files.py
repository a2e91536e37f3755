"""The files of a written checkpoint beside its weights.

The quantiser writes a config that names folders of this machine and a tokenizer in a class of its
own; both are replaced, so that the folder is the source with other weights and nothing else.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# What of the quantiser's account is worth keeping: how it was done, not where.
META = (
    "quantizer",
    "uri",
    "damp_percent",
    "damp_auto_increment",
    "static_groups",
    "true_sequential",
    "act_group_aware",
    "mse",
)
COPIED = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "LICENSE",
    "NOTICE",
)


def finish(written: Path, source: Path) -> None:
    """Make `written`, as the quantiser left it, the source's twin."""
    made = json.loads((written / "config.json").read_text(encoding="utf-8"))
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    for key in ("_name_or_path", "dtype"):
        config.pop(key, None)
    config["torch_dtype"] = "float16"
    config["quantization_config"] = _cleaned(made["quantization_config"])
    for path in written.iterdir():
        if path.suffix != ".safetensors" and path.name != "model.safetensors.index.json":
            path.unlink()
    text = json.dumps(config, indent=2, ensure_ascii=False)
    (written / "config.json").write_text(text + "\n", encoding="utf-8")
    for name in COPIED:
        if (source / name).is_file():
            shutil.copyfile(source / name, written / name)
    for path in written.iterdir():
        path.chmod(0o644)


def _cleaned(made: Mapping[str, Any]) -> dict[str, Any]:
    said = made.get("meta", {})
    meta = {key: said[key] for key in META if said.get(key) is not None}
    return {**made, "meta": meta}
