"""Every setting, declared once: flag, environment variable, default and help come from here.

A flag is the field's name with dashes (underscores work too), the variable is QWEN_WEBUI_ and the
name in capitals. Does not decide anything with the values; that is up to who takes them.
"""

from __future__ import annotations

import argparse
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import platformdirs
from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from qwen_webui.errors import SettingsError
from qwen_webui.setting_kinds import Address, Amount, HostNames, Keys, Origins, Secret
from qwen_webui.types import Dtype, EnginePath, Precision

ENV_PREFIX = "QWEN_WEBUI_"


def default_data_dir() -> Path:
    """The platform's place for application data."""
    return Path(platformdirs.user_data_dir("qwen-webui", appauthor=False))


class Settings(BaseSettings):
    """The settings of one run."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        # An error's text may end in a log.
        hide_input_in_errors=True,
    )

    model: str | None = Field(
        None,
        description="what to serve: a catalogue name (qwen2.5-7b-instruct-awq-int4), a hub id, a "
        "folder, or demo; alone, the embedded demonstration checkpoint",
    )
    quantize: Precision | None = Field(
        None, description="precision to serve; alone it means Qwen2.5-7B-Instruct in it"
    )
    device: Literal["auto", "cuda", "cpu"] = Field("auto", description="where the model runs")
    dtype: Literal["auto"] | Dtype = Field(
        "auto",
        description="number format of unquantised weights; auto is bfloat16 where the card has "
        "it, else float16",
    )
    engine_path: EnginePath = Field(
        "auto",
        description="who computes: ours batches requests and keeps their beginnings, reference is "
        "generate() of transformers; auto is ours where it takes the checkpoint, else reference",
    )
    host_cache: Amount = Field(
        "25%",
        description="host memory for checkpoints loaded before, so that a card swaps back to one "
        "within a second: a share of what is available at the start, a size such as 8GiB, or 0; "
        "given up when the machine runs short of memory; a CPU needs none",
    )
    max_context: int | None = Field(
        None,
        ge=256,
        le=131_072,
        description="tokens of prompt and answer together; default the smaller of 8192 and what "
        "fits; above 32768 sets YaRN factor 4, which costs some quality on short texts",
    )
    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(7860, ge=1, le=65_535, description="port of the page and the API")
    api_key: Keys = Field(
        (),
        description="keys that callers must show, at the login page or as a bearer token; may be "
        "given more than once; the variable takes several with commas between them and is not "
        "seen by other users of the machine, as a flag is",
    )
    admin_key: Keys = Field(
        (),
        description="keys for loading, unloading and downloading, good for everything else too; "
        "without one every caller may",
    )
    insecure: bool = Field(
        False, description="listen for other machines without any key; otherwise one is made up"
    )
    allowed_host: HostNames = Field(
        (),
        description="names besides this computer's own that the server answers to; without a "
        "key it answers to no other on a loopback address; may be given more than once",
    )
    cors_origin: Origins = Field(
        (),
        description="origins whose pages may call the API from the browser, such as "
        "https://example.org, or * for any without cookies; may be given more than once",
    )
    allow_swap: bool = Field(
        False,
        description="requests to /v1 load the model they name; otherwise one that is not loaded "
        "is refused",
    )
    engine_url: Address | None = Field(
        None,
        description="address of another OpenAI-compatible server that computes instead of this "
        "program, for example http://127.0.0.1:8000/v1",
    )
    engine_key: Secret | None = Field(
        None, description="key that the server of --engine-url asks for"
    )
    hub: Literal["huggingface", "modelscope"] = Field(
        "huggingface", description="where checkpoints are downloaded from"
    )
    hub_endpoint: str | None = Field(
        None, description="address of a mirror or a hub of your own, instead of the public one"
    )
    offline: bool = Field(False, description="never download; use only what is on this disk")
    trust_remote_code: bool = Field(
        False,
        description="accepted for compatibility, without effect: code from a checkpoint never runs",
    )
    max_running: int | None = Field(
        None,
        ge=1,
        le=64,
        description="answers computed at once; default what the loaded model's cache carries, "
        "each with a whole context, at least 2",
    )
    max_waiting: int = Field(16, ge=0, le=10_000, description="requests that may wait in line")
    queue_timeout: float = Field(300.0, gt=0, description="seconds a request may wait in line")
    drain_seconds: float = Field(
        30.0, ge=0, description="seconds that running answers get to finish at a swap or a stop"
    )
    stall_seconds: float = Field(
        120.0, gt=0, description="seconds without a token after which the worker is replaced"
    )
    memory_warning: float = Field(
        92.0,
        gt=0,
        le=100,
        description="percent of the card's memory, or without a card of the machine's, from which "
        "the page warns that it runs out",
    )
    personas: Path | None = Field(
        None, description="folder with persona files of your own, added to the built-in ones"
    )
    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="conversations, downloads, uploads and logs; created with mode 0700",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="how much is logged, on the console and in the data folder"
    )
    log_prompts: bool = Field(False, description="also log the text of prompts and answers")


# The spelling the original guides use; it means the same field.
EXTRA_FLAGS: Mapping[str, tuple[str, ...]] = {"model": ("--model-name-or-path",)}


def flag(name: str) -> str:
    """The command-line spelling of a field: `max_context` is `--max-context`."""
    return "--" + name.replace("_", "-")


def add_flags(parser: argparse.ArgumentParser, *, only: Sequence[str] = ()) -> None:
    """Add a flag for every field (or those in `only`), in both spellings, to `parser`."""
    for name, field in Settings.model_fields.items():
        if only and name not in only:
            continue
        shown = [flag(name), *EXTRA_FLAGS.get(name, ())]
        both = dict.fromkeys(s for f in shown for s in (f, "--" + f[2:].replace("-", "_")))
        parser.add_argument(*both, **_argument(name, field))


def _argument(name: str, field: FieldInfo) -> dict[str, Any]:
    """The argparse keywords for one field. Values stay text: pydantic checks them."""
    text = f"{field.description} [{ENV_PREFIX}{name.upper()}{_default_text(field)}]"
    common: dict[str, Any] = {"dest": name, "default": None, "help": text.replace("%", "%%")}
    if field.annotation is bool:
        return common | {"action": argparse.BooleanOptionalAction}
    if get_origin(field.annotation) is tuple:
        common["action"] = "append"
    return common | {"metavar": _metavar(field.annotation) or name.upper()}


def _default_text(field: FieldInfo) -> str:
    value = field.get_default()
    return "" if value in (None, False, ()) or field.default_factory else f"; {value}"


def _metavar(annotation: Any) -> str:
    """`{a,b}` for a choice, also inside a union; empty for anything else."""
    if get_origin(annotation) is Literal:
        return "{" + ",".join(str(v) for v in get_args(annotation)) + "}"
    if get_origin(annotation) in (types.UnionType, typing.Union):
        choices = [v for a in get_args(annotation) if get_origin(a) is Literal for v in get_args(a)]
        return "{" + ",".join(choices) + "}" if choices else ""
    return ""


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Settings from flags (fields that are None were not given), then the environment.

    Raises SettingsError naming the flag, what it held and what was expected.
    """
    values = {k: v for k, v in given.items() if k in Settings.model_fields and v is not None}
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from error


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    if name not in Settings.model_fields:
        name = "model"
    field = Settings.model_fields[name]
    own = first.get("ctx", {}).get("error", first["msg"])
    expected = _metavar(field.annotation).strip("{}").replace(",", ", ") or own
    held = "was wrong" if _is_secret(field) else f"was {_shown(first['input'])}"
    return (
        f"{flag(name)} (or {ENV_PREFIX}{name.upper()}) {held}; expected: {expected}. Run with "
        "--help to see every setting."
    )


def _is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation)


def _shown(value: object) -> str:
    return repr(", ".join(map(str, value)) if isinstance(value, tuple | list) else value)


def prepare_data_dir(folder: Path) -> Path:
    """Create the data folder (mode 0700) and say so clearly when that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        for part in ("logs", "uploads", "models"):
            (folder / part).mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingsError(
            f"The data folder {folder} cannot be used ({error.strerror}); choose another with "
            "--data-dir."
        ) from error
    return folder
