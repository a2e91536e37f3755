"""What a browser may send, and what becomes of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

import pytest

from qwen_webui.errors import InvalidRequest, NotFound
from qwen_webui.personas import Personas, builtin_folder
from qwen_webui.store import Conversation, StoredMessage
from qwen_webui.types import Message, Sampling
from qwen_webui.ui.form import CUSTOM, Role, history, read_sampling
from qwen_webui.ui.sampling_panel import read_base
from qwen_webui.ui.visitor import language_of, owner_of

SHOWN = Sampling(temperature=0.7, top_p=0.8, top_k=20, repetition_penalty=1.05)
UNTOUCHED = (0.7, 0.8, 20, 1.05, 0)
OWNER = "0123456789abcdef" * 2


@dataclass
class Asked:
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)


def test_sliders_nobody_moved_are_left_to_the_model() -> None:
    assert read_sampling((*UNTOUCHED, ""), SHOWN) == Sampling()


def test_what_was_moved_counts() -> None:
    moved = read_sampling((0.0, 0.8, 40.0, 1.05, 256, " 7 "), SHOWN)
    assert moved == Sampling(temperature=0.0, top_k=40, max_new_tokens=256, seed=7)
    assert isinstance(moved.top_k, int)


@pytest.mark.parametrize("value", ["0.5", None, True, math.nan, math.inf, [1], {}])
def test_a_forged_slider_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_sampling((0.7, value, 20, 1.05, 0, ""), SHOWN)
    assert (refused.value.code, refused.value.param) == ("bad_number", "top_p")


@pytest.mark.parametrize("seed", ["-1", "1.5", "x", "9" * 30, "٣", [1]])
def test_a_seed_is_a_whole_number(seed: object) -> None:
    with pytest.raises(InvalidRequest):
        read_sampling((*UNTOUCHED, seed), SHOWN)


@pytest.mark.parametrize("base", ["", "{", '{"temperature": 1}', '{"x": null}', "[1]", "7"])
def test_a_forged_base_is_refused(base: str) -> None:
    with pytest.raises(InvalidRequest):
        read_base(base)


@pytest.mark.parametrize("base", [None, 3, "{}"])
def test_without_a_base_the_sliders_stand_where_they_began(base: object) -> None:
    assert read_base(base).temperature == 1.0


def test_a_base_is_read() -> None:
    values = dict(zip(("temperature", "top_p", "top_k"), (0.7, 0.8, 20), strict=True))
    text = json.dumps(values | {"repetition_penalty": 1.05, "max_new_tokens": 0})
    assert read_base(text).temperature == 0.7


def test_roles() -> None:
    personas = Personas.load(builtin_folder())
    first = personas.all()[0]
    assert Role.read(personas, first.id, "ignored") == Role(first.id, None)
    assert Role.read(personas, CUSTOM, "mine") == Role(None, "mine")
    assert Role.read(personas, CUSTOM, None) == Role(None, "")
    for forged in ("../etc/passwd", "no-such-role", None, 3):
        with pytest.raises((InvalidRequest, NotFound)):
            Role.read(personas, forged, "x")


def test_history_is_what_was_said() -> None:
    said = Conversation(
        "1",
        "",
        None,
        0,
        0,
        (
            StoredMessage("system", "Be brief."),
            StoredMessage("user", "One"),
            StoredMessage("assistant", "Two"),
            StoredMessage("user", "Three"),
        ),
    )
    assert history(said) == (
        Message("user", "One"),
        Message("assistant", "Two"),
        Message("user", "Three"),
    )
    assert history(said, -1) == history(said)[:2]


@pytest.mark.parametrize(
    ("header", "cookie", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", None, "zh"),
        ("en-GB,zh;q=0.5", None, "en"),
        ("fr,de;q=0.9,zh-TW;q=0.1", None, "zh"),
        ("fr", None, "en"),
        ("", None, "en"),
        ("zh-CN", "en", "en"),
        ("en", "zh", "zh"),
        ("zh", "klingon", "zh"),
        ("zha", None, "en"),
    ],
)
def test_the_language(header: str, cookie: str | None, language: str) -> None:
    cookies = {"qw_lang": cookie} if cookie else {}
    assert language_of(Asked({"Accept-Language": header}, cookies)) == language


@pytest.mark.parametrize(
    "cookie", ["", "x" * 32, OWNER[:-1], OWNER + "0", OWNER.upper(), "../" * 11]
)
def test_an_owner_is_128_bits(cookie: str) -> None:
    assert owner_of(Asked(cookies={"qw_owner": OWNER})) == OWNER
    with pytest.raises(NotFound):
        owner_of(Asked(cookies={"qw_owner": cookie}))
    with pytest.raises(NotFound):
        owner_of(Asked())
