"""Personas: those that come with the program, a user's own, and what is said of a wrong file."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwen_webui.errors import InvalidRequest, NotFound, SettingsError
from qwen_webui.personas import Localised, Persona, Personas, builtin_folder
from qwen_webui.types import Sampling

GOOD = """
id = "pirate"
order = 7
name = {en = "Pirate", zh = "海盗"}
description = {en = "Talks like one.", zh = "像海盗一样说话。"}
system = {en = "You are a pirate.", zh = "你是海盗。"}
sampling = {temperature = 1, top_k = 40, stop = ["Arr"]}
examples = {en = ["Ahoy!"]}
"""


def write(folder: Path, name: str, text: str | bytes) -> Path:
    folder.mkdir(exist_ok=True)
    data = text if isinstance(text, bytes) else text.encode()
    (folder / name).write_bytes(data)
    return folder


def test_the_built_in_personas_are_complete_in_both_languages() -> None:
    personas = Personas.load(builtin_folder()).all()
    ids = {persona.id for persona in personas}
    assert ids >= {"general", "code", "writing", "translator", "extraction", "analyst"}
    assert personas[0].id == "general"
    for persona in personas:
        assert persona.examples.en, persona.id
        assert persona.examples.zh, persona.id
        assert persona.system.en != persona.system.zh
        assert any("\u4e00" <= c <= "\u9fff" for c in persona.system["zh"]), persona.id


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    personas = Personas.load(write(tmp_path / "own", "any-name.toml", GOOD))
    assert personas.all() == (
        Persona(
            id="pirate",
            order=7,
            name=Localised("Pirate", "海盗"),
            description=Localised("Talks like one.", "像海盗一样说话。"),
            system=Localised("You are a pirate.", "你是海盗。"),
            sampling=Sampling(temperature=1, top_k=40, stop=("Arr",)),
            examples=Localised(("Ahoy!",), ()),
        ),
    )
    assert personas.get("pirate").system["zh"] == "你是海盗。"
    assert personas.get("pirate").name["en"] == "Pirate"


def test_a_users_own_folder_adds_and_overrides(tmp_path: Path) -> None:
    own = write(tmp_path / "own", "pirate.toml", GOOD)
    write(own, "code.toml", GOOD.replace('"pirate"', '"code"'))
    write(own, "notes.txt", "not read")
    before = Personas.load(builtin_folder())
    after = Personas.load(builtin_folder(), own)
    assert len(after.all()) == len(before.all()) + 1
    assert after.get("code").system.en == "You are a pirate."
    assert after.get("general") == before.get("general")
    assert [p.order for p in after.all()] == sorted(p.order for p in after.all())


WRONG = [
    ('id = "pirate"', 'id = "Pirate"', "id must be 1 to 40"),
    ('id = "pirate"', 'id = "../pirate"', "id must be 1 to 40"),
    ('id = "pirate"', "", "id must be 1 to 40"),
    ('id = "pirate"', f'id = "{"x" * 41}"', "id must be 1 to 40"),
    ("order = 7", 'order = "7"', "order must be a whole number"),
    ("order = 7", "order = true", "order must be a whole number"),
    ("order = 7", "ordre = 7", "ordre is not known; known are description, examples, id"),
    (', zh = "你是海盗。"', "", "system.zh must be text"),
    ('zh = "你是海盗。"', 'zh = "  "', "system.zh must be text"),
    ('zh = "你是海盗。"', r'zh = "\u0000"', "system.zh must be text"),
    ('{en = "Pirate", zh = "海盗"}', '"Pirate"', r"name must be a table, written \[name\]"),
    ('zh = "海盗"', 'fr = "Pirate"', "name.fr is not known; known are en, zh"),
    ("temperature = 1", "temperature = 3", "sampling.temperature is wrong: .*from 0 to 2"),
    ("temperature = 1", "temperature = nan", "sampling.temperature is wrong"),
    ("temperature = 1", "temperature = true", "sampling.temperature is wrong"),
    ("temperature = 1", 'temperature = "1"', "sampling.temperature is wrong"),
    ("top_k = 40", "top_k = 40.5", "sampling.top_k is wrong: .*a whole number"),
    ("top_k = 40", "topk = 40", "sampling.topk is not known"),
    ('stop = ["Arr"]', 'stop = "Arr"', "sampling.stop must be a list"),
    ('stop = ["Arr"]', "stop = [1]", "sampling.stop is wrong"),
    ('["Ahoy!"]', '"Ahoy!"', "examples.en must be a list"),
    ('["Ahoy!"]', "[1]", "examples.en must be a list"),
    ("order = 7", "order = = 7", r"the file is not valid TOML: .*line 3"),
]


@pytest.mark.parametrize(("good", "bad", "sentence"), WRONG)
def test_a_wrong_file_is_a_sentence_with_file_and_field(
    tmp_path: Path, good: str, bad: str, sentence: str
) -> None:
    assert good in GOOD
    own = write(tmp_path / "own", "pirate.toml", GOOD.replace(good, bad, 1))
    with pytest.raises(SettingsError, match=f"^Persona file pirate.toml: {sentence}") as error:
        Personas.load(own)
    assert error.value.message.endswith(".")
    assert str(tmp_path) not in error.value.message


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff\xfe\x00", "not UTF-8 text"),
        (b"a = " + b"[" * 20_000, "not valid TOML"),
        (b"#" * 70_000, "over 65536 bytes"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(SettingsError, match=f"bad.toml: the file (is )?{sentence}"):
        Personas.load(write(tmp_path / "own", "bad.toml", content))


def test_two_files_with_one_id_are_refused(tmp_path: Path) -> None:
    own = write(tmp_path / "own", "a.toml", GOOD)
    write(own, "b.toml", GOOD)
    with pytest.raises(SettingsError, match=r"b\.toml and a\.toml both have the id 'pirate'"):
        Personas.load(own)


def test_a_missing_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        Personas.load(builtin_folder(), tmp_path / "none")


def test_an_unknown_id_names_near_ones() -> None:
    personas = Personas.load(builtin_folder())
    with pytest.raises(NotFound, match=r"'generall'.*general") as error:
        personas.get("generall")
    assert error.value.status == 404


@pytest.mark.parametrize("id", ["../general", "a/b", "..", "", "General", "x" * 41, "a\n", "通用"])
def test_what_cannot_be_an_id_is_invalid(id: str) -> None:
    with pytest.raises(InvalidRequest, match="persona's id must be") as error:
        Personas.load(builtin_folder()).get(id)
    assert (error.value.status, error.value.param) == (422, "persona")
