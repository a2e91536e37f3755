"""Downloads over real HTTP by the real client libraries, from a hub on loopback."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from qwen_webui.checkpoints import Library, choose
from qwen_webui.checkpoints.downloads import download
from qwen_webui.checkpoints.job import Job
from qwen_webui.errors import (
    CheckpointError,
    CheckpointMissing,
    DoesNotFit,
    DownloadFailed,
    SettingsError,
    WebUIError,
)
from qwen_webui.types import Progress
from tests.folders import checkpoint_files
from tests.hub import Hub, Request, running_hub

REPOSITORY = "Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4"
NAME = "qwen2.5-7b-instruct-gptq-int4"
SHARD = 3 * 2**20


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub with one repository, and an environment without proxies and logins."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("HF_", "MODELSCOPE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with running_hub() as hub:
        hub.repositories[REPOSITORY] = checkpoint_files("gptq-int4", shards=2, shard_bytes=SHARD)
        yield hub


@pytest.fixture(params=["huggingface", "modelscope"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def library(
    tmp_path: Path, hub: Hub, kind: str = "huggingface", *, offline: bool = False
) -> Library:
    return Library(tmp_path / "models", hub=kind, endpoint=hub.url, offline=offline)


async def fetch(lib: Library, name: str = NAME) -> tuple[Path, list[Progress]]:
    seen: list[Progress] = []
    return await lib.fetch(lib.get(name), seen.append), seen


async def test_fetches_everything_needed_and_nothing_else(
    tmp_path: Path, hub: Hub, kind: str
) -> None:
    files = hub.repositories[REPOSITORY]
    wanted = dict(files)
    files |= {
        "pytorch_model.bin": b"pickle",
        "modeling_qwen.py": b"print('no')",
        "README.md": b"#",
        "onnx/model.safetensors": b"no",
        ".gitattributes": b"",
        "chat_template.jinja": b"{{ messages }}",
    }
    wanted["chat_template.jinja"] = b"{{ messages }}"
    lib = library(tmp_path, hub, kind)
    assert lib.get(NAME).folder is None
    folder, seen = await fetch(lib)
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.name[0] != "."} == wanted
    total = sum(map(len, wanted.values()))
    assert {p.total for p in seen} == {total}
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert seen[-1].done == total
    assert {p.unit for p in seen} == {"bytes"}
    spec = lib.get(NAME)
    assert spec.folder == str(folder)
    assert spec.weights_bytes == 2 * SHARD
    assert spec in lib.all()
    assert not any(r.path.endswith((".bin", ".py")) for r in hub.requests)
    assert stat_mode(folder) == 0o700


def stat_mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_what_is_here_is_not_asked_for_again(tmp_path: Path, hub: Hub, kind: str) -> None:
    await fetch(library(tmp_path, hub, kind))
    hub.requests.clear()
    folder, seen = await fetch(library(tmp_path, hub, kind, offline=True))
    assert folder.is_dir()
    assert seen == []
    assert hub.requests == []


async def test_goes_on_after_a_cut(tmp_path: Path, hub: Hub, kind: str) -> None:
    hub.cuts = 1
    folder, _ = await fetch(library(tmp_path, hub, kind))
    first, second, third = hub.weights_requests()
    assert first.range is None and third.range is None
    assert 2**20 <= resumed_at(second) <= hub.cut_after
    for name, content in hub.repositories[REPOSITORY].items():
        assert (folder / name).read_bytes() == content


async def test_cancel_is_prompt_and_the_next_try_goes_on(
    tmp_path: Path, hub: Hub, kind: str
) -> None:
    hub.seconds_a_chunk = 0.02
    lib = library(tmp_path, hub, kind)
    arrived = asyncio.Event()

    def report(progress: Progress) -> None:
        if progress.done > 2**20 + 100_000:
            arrived.set()

    task = asyncio.create_task(lib.fetch(lib.get(NAME), report))
    await asyncio.wait_for(arrived.wait(), 60)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 2.5
    assert children() == []
    assert lib.get(NAME).folder is None
    hub.seconds_a_chunk = 0.0
    hub.requests.clear()
    folder, seen = await fetch(lib)
    assert seen[0].done > 2**20
    assert resumed_at(hub.weights_requests()[0]) >= 2**20
    for name, content in hub.repositories[REPOSITORY].items():
        assert (folder / name).read_bytes() == content


def resumed_at(request: Request) -> int:
    """The byte a transfer began with."""
    assert request.range is not None
    return int(request.range.removeprefix("bytes=").removesuffix("-"))


def children() -> list[str]:
    """Download processes of this test that still run."""
    return [
        " ".join(child.cmdline())
        for child in psutil.Process().children(recursive=True)
        if "qwen_webui.checkpoints.fetch" in child.cmdline()
    ]


@pytest.mark.slow
async def test_wrong_bytes_are_dropped(tmp_path: Path, hub: Hub, kind: str) -> None:
    """reliability line 32"""
    hub.corrupt = True
    lib = library(tmp_path, hub, kind)
    with pytest.raises(DownloadFailed, match="wrong content"):
        await fetch(lib)
    assert lib.get(NAME).folder is None
    hub.corrupt = False
    folder, _ = await fetch(lib)
    name = "model-00001-of-00002.safetensors"
    assert (folder / name).read_bytes() == hub.repositories[REPOSITORY][name]


async def test_a_file_shorter_than_listed_is_an_error(tmp_path: Path, hub: Hub) -> None:
    hub.overstated = 1_000
    with pytest.raises(DownloadFailed) as failure:
        await fetch(library(tmp_path, hub))
    assert "Load it again" in failure.value.message


async def test_a_file_cut_off_later_is_fetched_again(tmp_path: Path, hub: Hub) -> None:
    lib = library(tmp_path, hub)
    folder, _ = await fetch(lib)
    shard = folder / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-10])
    hub.requests.clear()
    await fetch(library(tmp_path, hub))
    assert shard.read_bytes() == hub.repositories[REPOSITORY][shard.name]
    assert len(hub.weights_requests()) == 1


async def test_a_new_revision_replaces_the_old_one(tmp_path: Path, hub: Hub, kind: str) -> None:
    hub.seconds_a_chunk = 0.02
    lib = library(tmp_path, hub, kind)
    arrived = asyncio.Event()

    def report(progress: Progress) -> None:
        if progress.done > 2**20 + 100_000:
            arrived.set()

    task = asyncio.create_task(lib.fetch(lib.get(NAME), report))
    await asyncio.wait_for(arrived.wait(), 60)
    task.cancel()
    await asyncio.wait([task])
    hub.seconds_a_chunk = 0.0
    new = checkpoint_files("gptq-int4", shards=2, shard_bytes=SHARD + 1)
    new = {path: content.replace(b"weight.", b"weighs.") for path, content in new.items()}
    hub.repositories[REPOSITORY] = new
    folder, _ = await fetch(lib)
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.name[0] != "."} == new


@pytest.mark.parametrize(
    ("status", "code", "error", "sentence"),
    [
        (404, "RepoNotFound", CheckpointMissing, "no repository"),
        (401, "RepoNotFound", WebUIError, "HF_TOKEN|MODELSCOPE_API_TOKEN"),
        (403, "GatedRepo", DownloadFailed, "its page"),
        (500, "Broken", DownloadFailed, r"answered 500|connection"),
    ],
)
async def test_refusals_are_sentences(
    tmp_path: Path, hub: Hub, kind: str, status: int, code: str, error: type, sentence: str
) -> None:
    hub.refusals[REPOSITORY] = (status, code)
    with pytest.raises(error, match=sentence) as refusal:
        await fetch(library(tmp_path, hub, kind))
    assert REPOSITORY in refusal.value.message
    assert "127.0.0.1" not in refusal.value.message
    assert str(tmp_path) not in refusal.value.message


@pytest.mark.slow
async def test_no_network_is_a_sentence(tmp_path: Path, hub: Hub, kind: str) -> None:
    hub.url = "http://127.0.0.1:9"
    began = time.monotonic()
    with pytest.raises(DownloadFailed, match="Check the network"):
        await fetch(library(tmp_path, hub, kind))
    assert time.monotonic() - began < 60


async def test_offline_asks_nobody(tmp_path: Path, hub: Hub) -> None:
    with pytest.raises(DownloadFailed, match="--offline"):
        await fetch(library(tmp_path, hub, offline=True))
    assert hub.requests == []


async def test_disk_space_is_checked_first(tmp_path: Path, hub: Hub) -> None:
    """reliability line 31: a download."""
    hub.overstated = 10**15
    with pytest.raises(DoesNotFit, match=r"needs 2,000,000\.0\d GB more.*GB free") as refusal:
        await fetch(library(tmp_path, hub))
    assert refusal.value.code == "disk_full"
    assert refusal.value.status == 507
    assert hub.weights_requests() == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"auto_map": {"AutoModel": "x.Y"}}, "auto_map"),
        ({"_attn_implementation_internal": "x"}, "_internal"),
        ({"architectures": ["LlamaForCausalLM"]}, "LlamaForCausalLM"),
    ],
)
async def test_a_bad_config_ends_the_download_before_the_weights(
    tmp_path: Path, hub: Hub, change: dict[str, object], sentence: str
) -> None:
    hub.repositories[REPOSITORY] = checkpoint_files("gptq-int4", **change)
    with pytest.raises(CheckpointError, match=sentence):
        await fetch(library(tmp_path, hub))
    assert hub.weights_requests() == []


async def test_pickles_alone_are_refused(tmp_path: Path, hub: Hub, kind: str) -> None:
    files = checkpoint_files()
    files["pytorch_model.bin"] = files.pop("model.safetensors")
    hub.repositories[REPOSITORY] = files
    with pytest.raises(CheckpointError, match="no safetensors"):
        await fetch(library(tmp_path, hub, kind))


async def test_the_guides_command_line(tmp_path: Path, hub: Hub, kind: str) -> None:
    """--model_name_or_path Qwen/Qwen2.5-7B --quantize gptq-int4"""
    lib = library(tmp_path, hub, kind)
    choice = choose("Qwen/Qwen2.5-7B", "gptq-int4", known=lib.all())
    assert choice.spec.hub_id == REPOSITORY
    assert choice.notes == (
        "Qwen/Qwen2.5-7B has no quantised files; using Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4.",
    )
    folder = await lib.fetch(choice.spec, lambda _: None)
    assert (folder / "config.json").is_file()
    assert all(REPOSITORY in r.path or r.path.startswith("/store/") for r in hub.requests)


async def test_any_repository_of_the_architecture(tmp_path: Path, hub: Hub) -> None:
    hub.repositories["someone/tuned-AWQ"] = checkpoint_files("awq-int4")
    lib = library(tmp_path, hub)
    choice = choose("someone/tuned-AWQ", None, known=lib.all())
    await lib.fetch(choice.spec, lambda _: None)
    spec = lib.get("someone/tuned-AWQ")
    assert (spec.precision, spec.weights_bytes, spec.shape.layers) == ("awq-int4", 4_096, 2)
    again = library(tmp_path, hub, offline=True)
    assert spec in again.all()
    assert (await again.fetch(again.get(spec.name), lambda _: None)) == Path(spec.folder or "")


async def test_nothing_about_this_machine_is_told(tmp_path: Path, hub: Hub, kind: str) -> None:
    await fetch(library(tmp_path, hub, kind))
    for request in hub.requests:
        assert "telemetry" not in request.path.lower()
        assert "acceleration" not in request.path.lower()
        for part in request.agent.split(";"):
            name, _, value = part.strip().partition("/")
            assert name != "session_id" or value == "0" * 32
    assert not (tmp_path / "home" / ".modelscope" / "credentials" / "session").exists()


async def test_the_process_ends_with_its_parent(tmp_path: Path, hub: Hub) -> None:
    hub.seconds_a_chunk = 0.2
    job = Job("huggingface", hub.url, REPOSITORY, str(tmp_path / "models" / "x"))
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "qwen_webui.checkpoints.fetch"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdin and child.stdout
    child.stdin.write(job.line().encode() + b"\n")
    await child.stdout.readline()
    child.stdin.close()
    await asyncio.wait_for(child.communicate(), 10)
    assert child.returncode == 1


async def test_a_process_that_dies_is_an_error(
    tmp_path: Path, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    job = Job("nowhere", hub.url, REPOSITORY, str(tmp_path / "x"))  # type: ignore[arg-type]
    with pytest.raises(DownloadFailed):
        await download(job, lambda _: None)


@pytest.mark.parametrize(
    ("kind", "endpoint", "sentence"),
    [("elsewhere", None, "--hub"), ("huggingface", "ftp://x", "--hub-endpoint")],
)
def test_hub_settings_are_checked(
    tmp_path: Path, kind: str, endpoint: str | None, sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence):
        Library(tmp_path, hub=kind, endpoint=endpoint, offline=False)
