"""--host-cache from the command line to the memory of the worker: all of it, or each step of it."""

from __future__ import annotations

import argparse
from contextlib import aclosing
from pathlib import Path

import pytest

from qwen_webui import services as rooms
from qwen_webui.command_flags import parser_of
from qwen_webui.engines import child
from qwen_webui.engines.scripted import Script, ScriptedLoader
from qwen_webui.errors import CheckpointError, SettingsError
from qwen_webui.memory import GIB, MIB
from qwen_webui.services import close_services, open_services
from qwen_webui.settings import Settings, read_settings
from qwen_webui.types import MemoryUse
from tests.engines.asking import request
from tests.engines.copying_worker import FROM_COPY
from tests.serving import managing, until

AVAILABLE = 40 * GIB
DEMO = "demo-fp16"


def settings_of(folder: Path, *words: str, command: str = "serve") -> Settings:
    """As the command line makes them."""
    given = {"chat": ["Hello!"], "serve": []}[command]
    flags = ("--data-dir", str(folder / "data"), "--device", "cpu", "--offline", *words)
    read: argparse.Namespace = parser_of(command).parse_args([*given, *flags])
    return read_settings(vars(read))


@pytest.fixture
def forty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where 40 GiB are available to programs, and 64 are there."""
    use = MemoryUse("cpu", "CPU", 0, AVAILABLE, 64 * GIB)
    monkeypatch.setattr(rooms, "machine_memory", lambda _: use)


@pytest.mark.usefixtures("forty")
@pytest.mark.parametrize("command", ["serve", "chat"])
@pytest.mark.parametrize(
    ("words", "means"),
    [
        ((), AVAILABLE // 4),
        (("--host-cache", "0"), 0),
        (("--host-cache", "0%"), 0),
        (("--host-cache", "12.5%"), AVAILABLE // 8),
        (("--host_cache", "100%"), AVAILABLE),
        (("--host-cache", "3GiB"), 3 * GIB),
        (("--host-cache", "640 MiB"), 640 * MIB),
    ],
)
async def test_what_was_given_is_in_the_plan_of_a_load(
    tmp_path: Path, words: tuple[str, ...], means: int, command: str
) -> None:
    loader = ScriptedLoader()
    services = await open_services(settings_of(tmp_path, *words, command=command), loader)
    try:
        await services.manager.load(DEMO)
    finally:
        await close_services(services)
    assert [plan.host_cache for plan in loader.plans] == [means]


@pytest.mark.usefixtures("forty")
async def test_the_variable_counts_where_no_flag_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QWEN_WEBUI_HOST_CACHE", "2GiB")
    for words, means in (((), 2 * GIB), (("--host-cache", "0"), 0)):
        loader = ScriptedLoader()
        services = await open_services(settings_of(tmp_path, *words), loader)
        try:
            await services.manager.load(DEMO)
        finally:
            await close_services(services)
        assert loader.plans[0].host_cache == means


async def test_a_swap_a_way_back_and_a_new_process_have_it_too(tmp_path: Path) -> None:
    async with managing(tmp_path, host_cache=5 * GIB) as (manager, _, loader):
        await manager.load("two")
        loader.scripts["three"] = Script(load_error=CheckpointError("Its weights are damaged."))
        with pytest.raises(CheckpointError):
            await manager.load("three")
        assert loader.engine is not None
        loader.die()
        await until(manager, lambda status: status.state != "ready")
        async with aclosing(manager.stream(request())) as events:
            assert [event async for event in events]
        assert loader.loads == ["one", "two", "three", "two", "two"]
        assert {plan.host_cache for plan in loader.plans} == {5 * GIB}


@pytest.mark.parametrize(
    "amount",
    ["", " ", "-1", "-5%", "much", "nan", "inf", "1e3", "0x10", "101%", "25 percent", "8TiB",
     "1,5GiB", "8GiB 2GiB", "٣GiB", "9999999999"],
)  # fmt: skip
@pytest.mark.parametrize("by", ["flag", "variable"])
def test_nonsense_is_refused_with_what_is_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, amount: str, by: str
) -> None:
    words = ("--host-cache=" + amount,) if by == "flag" else ()
    if by == "variable":
        monkeypatch.setenv("QWEN_WEBUI_HOST_CACHE", amount)
    with pytest.raises(SettingsError) as refused:
        settings_of(tmp_path, *words)
    said = refused.value.message
    assert said.startswith(f"--host-cache (or QWEN_WEBUI_HOST_CACHE) was {amount!r}; expected: ")
    assert "25%" in said and "8GiB" in said and "or 0" in said
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "kept"),
    [(("--host-cache", "1GiB"), True), (("--host-cache", "8MiB"), False)],
    ids=["room", "too-little"],
)
async def test_the_workers_cache_keeps_what_the_flag_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], kept: bool
) -> None:
    """The whole way, with a worker of its own; a card is not needed for it."""
    monkeypatch.setattr(child, "PACKAGE", "tests.engines.copying_worker")
    services = await open_services(settings_of(tmp_path, *words))
    try:
        seen = []
        for _ in range(2):
            await services.manager.load(DEMO)
            info = services.manager.status().info
            assert info is not None and info.weights_bytes > 8 * MIB
            seen.append(info.kernel == FROM_COPY)
            await services.manager.unload()
    finally:
        await close_services(services)
    assert seen == [False, kept]
