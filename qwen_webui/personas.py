"""The system-role presets: one TOML file each, read from folders.

Checks every field, so that a mistake is a sentence at the start and not a strange answer later.
Which persona answers, and what its system message costs, is chat's business.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from qwen_webui.errors import InvalidRequest, NotFound, SettingsError
from qwen_webui.limits import check_sampling
from qwen_webui.types import Sampling

T = TypeVar("T")
Language = Literal["en", "zh"]

MAX_FILE_BYTES = 65_536
_ID = re.compile(r"[a-z0-9-]{1,40}")
_FIELDS = {"id", "order", "name", "description", "system", "sampling", "examples"}
# What a persona may set; the rest of Sampling belongs to a single request.
_SAMPLING_FIELDS = {
    *("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty"),
    *("frequency_penalty", "seed", "stop", "max_new_tokens"),
}


@dataclass(frozen=True)
class Localised(Generic[T]):
    """The same thing in both languages of the page."""

    en: T
    zh: T

    def __getitem__(self, language: Language) -> T:
        return self.zh if language == "zh" else self.en


@dataclass(frozen=True)
class Persona:
    """One preset. Unset sampling fields are the checkpoint's; `order` is its place in the list."""

    id: str
    order: int
    name: Localised[str]
    description: Localised[str]
    system: Localised[str]
    sampling: Sampling
    examples: Localised[tuple[str, ...]]


class Personas:
    """The presets that were loaded, by id and in order."""

    def __init__(self, personas: Iterable[Persona]) -> None:
        self._all = tuple(sorted(personas, key=lambda p: (p.order, p.id)))
        self._by_id = {persona.id: persona for persona in self._all}

    @classmethod
    def load(cls, *folders: Path) -> Personas:
        """Read every *.toml of the folders; in a later folder an id of an earlier one wins.

        Raises SettingsError that names the file and the field.
        """
        found: dict[str, Persona] = {}
        for folder in folders:
            found |= _read_folder(folder)
        return cls(found.values())

    def all(self) -> tuple[Persona, ...]:
        """Every persona, in the order of the list."""
        return self._all

    def get(self, id: str) -> Persona:
        """One persona. Raises InvalidRequest for what cannot be an id, NotFound for an unknown."""
        if not _ID.fullmatch(id):
            raise InvalidRequest(
                "The persona's id must be 1 to 40 of the characters a-z, 0-9 and '-'.",
                param="persona",
            )
        persona = self._by_id.get(id)
        if persona is None:
            near = difflib.get_close_matches(id, self._by_id, n=3) or list(self._by_id)
            raise NotFound(
                f"There is no persona {id!r}; there is, for example, {', '.join(near)}.",
                param="persona",
            )
        return persona


def builtin_folder() -> Path:
    """Where the presets that come with the program lie: in the wheel, or in the checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "presets", package.parent / "personas"):
        if folder.is_dir():
            return folder
    raise SettingsError("The built-in personas are missing; install the program again.")


def _read_folder(folder: Path) -> dict[str, Persona]:
    if not folder.is_dir():
        raise SettingsError(
            f"The folder for personas, {folder}, does not exist or is no folder; give another with"
            " --personas, or none.",
            param="personas",
        )
    found: dict[str, Persona] = {}
    files: dict[str, str] = {}
    for path in sorted(folder.glob("*.toml")):
        persona = _File(path.name, _read(path)).persona()
        if persona.id in found:
            raise SettingsError(
                f"{path.name} and {files[persona.id]} both have the id {persona.id!r}; give one of"
                " them another.",
                param="personas",
            )
        found[persona.id] = persona
        files[persona.id] = path.name
    return found


def _read(path: Path) -> Mapping[str, Any]:
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_FILE_BYTES:
            raise _wrong(path.name, "the file", f"is over {MAX_FILE_BYTES} bytes; shorten it")
        return tomllib.loads(raw.decode())
    except OSError as error:
        raise _wrong(path.name, "the file", f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise _wrong(path.name, "the file", "is not UTF-8 text; save it as UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _wrong(path.name, "the file", f"is not valid TOML: {error}") from error


def _wrong(file: str, field: str, what: str) -> SettingsError:
    return SettingsError(f"Persona file {file}: {field} {what}.", param="personas")


@dataclass(frozen=True)
class _File:
    """The content of one file, on its way to a Persona. Every error names file and field."""

    name: str
    content: Mapping[str, Any]

    def persona(self) -> Persona:
        self._only(self.content, _FIELDS, "")
        id, order = self.content.get("id"), self.content.get("order", 1000)
        if not isinstance(id, str) or not _ID.fullmatch(id):
            raise self._error("id", "must be 1 to 40 of the characters a-z, 0-9 and '-'")
        if isinstance(order, bool) or not isinstance(order, int):
            raise self._error("order", "must be a whole number, its place in the list")
        return Persona(
            id=id,
            order=order,
            name=self._texts("name"),
            description=self._texts("description"),
            system=self._texts("system"),
            sampling=self._sampling(),
            examples=self._examples(),
        )

    def _error(self, field: str, what: str) -> SettingsError:
        return _wrong(self.name, field, what)

    def _only(self, table: Mapping[str, Any], known: set[str], prefix: str) -> None:
        for field in table:
            if field not in known:
                raise self._error(
                    f"{prefix}{field}", f"is not known; known are {', '.join(sorted(known))}"
                )

    def _table(self, field: str, known: set[str]) -> Mapping[str, Any]:
        table = self.content.get(field, {})
        if not isinstance(table, dict):
            raise self._error(field, f"must be a table, written [{field}]")
        self._only(table, known, f"{field}.")
        return table

    def _texts(self, field: str) -> Localised[str]:
        table = self._table(field, {"en", "zh"})
        for language in ("en", "zh"):
            if not _is_text(table.get(language)):
                raise self._error(f"{field}.{language}", "must be text, in quotes, and not empty")
        return Localised(table["en"], table["zh"])

    def _examples(self) -> Localised[tuple[str, ...]]:
        table = self._table("examples", {"en", "zh"})
        for language, texts in table.items():
            if not isinstance(texts, list) or not all(_is_text(text) for text in texts):
                raise self._error(
                    f"examples.{language}", "must be a list of texts, none of them empty"
                )
        return Localised(tuple(table.get("en", ())), tuple(table.get("zh", ())))

    def _sampling(self) -> Sampling:
        values = dict(self._table("sampling", _SAMPLING_FIELDS))
        if "stop" in values:
            if not isinstance(values["stop"], list):
                raise self._error("sampling.stop", "must be a list of texts")
            values["stop"] = tuple(values["stop"])
        sampling = Sampling(**values)
        try:
            check_sampling(sampling)
        except InvalidRequest as error:
            raise self._error(
                f"sampling.{error.param}", f"is wrong: {error.message[:-1]}"
            ) from error
        return sampling


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value
