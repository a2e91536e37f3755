"""Checkpoints kept in the host's memory: what stays, what goes, and a load from a copy."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import PretrainedConfig

from qwen_webui.engines.cancelling import Ticket
from qwen_webui.engines.decode import cpu, loading
from qwen_webui.engines.decode.computer import Computer
from qwen_webui.engines.decode.host_cache import HostCache, Key, NotKept, Stop, key_of
from qwen_webui.engines.paths import load_model
from qwen_webui.types import Dtype, GenerationEvent, LoadPlan
from tests.engines.asking import Reply, request
from tests.engines.checkpoints import plan

A, B, C = ((name, "float16", ()) for name in "abc")


class Held:
    """A copy that knows whether it was given back."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.released = False

    def release(self) -> None:
        assert not self.released
        self.released = True


class Source:
    """A computer that can be copied; `go` lets a copy be made."""

    def __init__(self, nbytes: int) -> None:
        self.copy_bytes = nbytes
        self.copies: list[Held] = []
        self.go = threading.Event()
        self.go.set()

    def saved(self, stop: Stop) -> Held:
        while not self.go.wait(0.01):
            if stop():
                raise NotKept("told to stop")
        self.copies.append(Held(self.copy_bytes))
        return self.copies[-1]


def kept(cache: HostCache, key: Key, nbytes: int) -> Source:
    source = Source(nbytes)
    cache.keep(key, source)
    cache.settle()
    return source


def holds(cache: HostCache, key: Key) -> bool:
    with cache.lent(key) as copy:
        return copy is not None


def test_the_least_recently_used_goes_first() -> None:
    cache = HostCache(lambda _: False)
    cache.limit(100)
    first, second = kept(cache, A, 40), kept(cache, B, 40)
    assert holds(cache, A)
    kept(cache, C, 40)
    assert (holds(cache, A), holds(cache, B), holds(cache, C)) == (True, False, True)
    assert second.copies[0].released and not first.copies[0].released
    assert cache.nbytes == 80
    cache.limit(0)
    assert first.copies[0].released and cache.nbytes == 0


def test_nothing_goes_for_what_would_not_fit_anyway() -> None:
    cache = HostCache(lambda _: False)
    cache.limit(100)
    kept(cache, A, 60)
    assert kept(cache, B, 101).copies == []
    assert holds(cache, A)
    cache.limit(0)
    assert kept(cache, B, 1).copies == []


def test_short_of_memory_nothing_is_kept_and_what_was_is_dropped() -> None:
    free = [200]
    cache = HostCache(lambda more: free[0] - more < 100)
    cache.limit(1000)
    sources = [kept(cache, key, 30) for key in (A, B)]
    free[0] = 50
    assert kept(cache, C, 30).copies == []
    cache.trim()
    assert all(source.copies[0].released for source in sources)
    assert cache.nbytes == 0


def test_memory_that_falls_short_later_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwen_webui.engines.decode.host_cache.WATCH_SECONDS", 0.01)
    short = threading.Event()
    cache = HostCache(lambda _: short.is_set())
    cache.limit(100)
    source = kept(cache, A, 40)
    short.set()
    for thread in threading.enumerate():
        if thread.name == "host-cache-watch":
            thread.join(5)
    assert source.copies[0].released


def test_a_copy_that_would_leave_too_little_is_not_made() -> None:
    cache = HostCache(lambda more: 120 - more < 100)
    cache.limit(1000)
    assert kept(cache, A, 30).copies == []
    assert len(kept(cache, B, 20).copies) == 1


def test_memory_is_watched_on_after_a_copy_could_not_be_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qwen_webui.engines.decode.host_cache.WATCH_SECONDS", 0.01)
    short, asked = threading.Event(), threading.Semaphore(0)

    def failing(more: int) -> bool:
        if short.is_set() and not asked.acquire(blocking=False):
            raise RuntimeError("the driver is busy")
        return short.is_set()

    cache = HostCache(failing)
    cache.limit(100)
    others = set(threading.enumerate())
    source = kept(cache, A, 40)
    short.set()
    (watcher,) = set(threading.enumerate()) - others
    assert not source.copies[0].released
    asked.release()
    watcher.join(5)
    assert source.copies[0].released and not watcher.is_alive()


def test_one_that_is_unloaded_first_is_not_kept() -> None:
    cache = HostCache(lambda _: False)
    cache.limit(100)
    source = Source(40)
    source.go.clear()
    cache.keep(A, source)
    cache.settle(stop=True)
    assert source.copies == [] and not holds(cache, A)
    source.go.set()
    cache.keep(A, source)
    cache.settle()
    assert holds(cache, A)


def test_the_key_is_of_the_files(tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "copy"))
    before = key_of(plan(folder), "float16")
    assert before == key_of(plan(folder, max_context=512), "float16")
    assert before != key_of(plan(folder), "bfloat16")
    file = next(folder.glob("*.safetensors"))
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    assert before != key_of(plan(folder), "float16")


class CopyOfComputer(Held):
    """Stands for weights: the plan to read them again."""

    def __init__(self, plan: LoadPlan, dtype: Dtype) -> None:
        super().__init__(1000)
        self.plan, self.dtype = plan, dtype


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The CPU's loader, as one whose computers can be copied; what it was asked for."""
    asked: list[str] = []

    class Copied(cpu.CpuComputer):
        copy_bytes = 1000
        made_of: CopyOfComputer

        def saved(self, stop: Stop) -> CopyOfComputer:
            return self.made_of

    def load_computer(plan: LoadPlan, config: PretrainedConfig, dtype: Dtype) -> Computer:
        asked.append("load")
        computer = cpu.load_computer(plan, config, dtype)
        computer.__class__ = Copied
        computer.made_of = CopyOfComputer(plan, dtype)
        return computer

    def restore(copy: CopyOfComputer, config: PretrainedConfig, max_context: int) -> Computer:
        asked.append(f"restore {max_context}")
        assert not copy.released
        return cpu.load_computer(
            dataclasses.replace(copy.plan, max_context=max_context), config, copy.dtype
        )

    module = types.ModuleType("a_loader_with_copies")
    module.__dict__.update(load_computer=load_computer, restore=restore)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(loading.LOADERS, "cpu", module.__name__)
    yield asked


def test_a_checkpoint_loaded_before_comes_from_its_copy(tiny: Path, counting: list[str]) -> None:
    cache = HostCache(lambda _: False)
    said = []
    for context in (1024, 512, 512):
        wanted = dataclasses.replace(
            plan(tiny, engine_path="ours", max_context=context), host_cache=5000
        )
        model = load_model(wanted, lambda _: None, cache)
        events: list[GenerationEvent] = []
        model.generate(request(max_new_tokens=20), Ticket(), events.append)
        said.append(Reply(tuple(events)).ids)
        assert model.info.max_context == context
        cache.settle()
        model.unload()
    assert counting == ["load", "restore 512", "restore 512"]
    assert said[0] == said[1] == said[2]


def test_without_room_nothing_is_kept(tiny: Path, counting: list[str]) -> None:
    cache = HostCache(lambda _: False)
    for _ in range(2):
        model = load_model(plan(tiny, engine_path="ours"), lambda _: None, cache)
        cache.settle()
        model.unload()
    assert counting == ["load", "load"] and cache.nbytes == 0


def test_what_no_model_can_be_made_of_is_forgotten_and_the_files_are_read(
    tiny: Path, counting: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = HostCache(lambda _: False)
    wanted = dataclasses.replace(plan(tiny, engine_path="ours"), host_cache=5000)
    load_model(wanted, lambda _: None, cache).unload()
    cache.settle()
    assert cache.nbytes == 1000

    def broken(*_: object) -> Computer:
        raise RuntimeError("CUDA error: invalid argument")

    monkeypatch.setattr(sys.modules["a_loader_with_copies"], "restore", broken)
    model = load_model(wanted, lambda _: None, cache)
    assert counting == ["load", "load"]
    cache.settle()
    assert cache.nbytes == 1000
    model.unload()
