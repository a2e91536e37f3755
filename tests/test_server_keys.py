"""The server as a process that others reach: the key it makes up, what it prints, what it logs."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from tests.folders import checkpoint_files, write_checkpoint
from tests.serving import write_tokenizer
from tests.test_server import Process, launched

pytestmark = pytest.mark.slow

PRINTED = re.compile(r"(http://[^/\s]+)(/login\?key=([A-Za-z0-9_-]+))")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_checkpoint(tmp_path_factory.mktemp("models") / "tiny", checkpoint_files())
    return write_tokenizer(path)


def log_files(process: Process) -> str:
    return "".join(path.read_text() for path in (process.data / "logs").iterdir())


def test_a_server_for_others_makes_up_a_key(tmp_path: Path, folder: Path) -> None:
    """reliability line 53"""
    with launched(tmp_path, folder, "host=0.0.0.0", "log_level=debug") as process:
        process.wait_for("/healthz")
        assert process.get("/").status_code == 401
        assert process.get("/api/models").status_code == 401
        printed = PRINTED.findall(process.output())
        assert printed and len({key for _, _, key in printed}) == 1
        assert printed[-1][0] == f"http://127.0.0.1:{process.port}"
        key = printed[0][2]
        assert len(key) * 6 >= 128
        with httpx.Client(base_url=process.url, timeout=10) as client:
            entered = client.get(printed[-1][1], headers={"accept": "text/html"})
            assert entered.status_code == 303 and key not in entered.headers["location"]
            assert client.get("/").status_code == 200
            assert client.post("/api/models/unload").status_code == 200
        by_key = httpx.get(process.url + "/api/models", headers={"x-api-key": key})
        assert by_key.status_code == 200
        assert process.output().count(key) == len(printed)
        assert "GET /login 303" in log_files(process)
        assert key not in log_files(process)


def test_insecure_is_the_only_way_to_have_no_key(tmp_path: Path, folder: Path) -> None:
    """reliability line 53"""
    with launched(tmp_path, folder, "host=0.0.0.0", "insecure=true") as process:
        process.wait_for("/healthz")
        assert process.get("/api/models").status_code == 200
        assert not PRINTED.search(process.output())
        assert "WARNING" in process.output() and "--insecure" in process.output()


def test_a_key_that_was_chosen_is_printed_nowhere(tmp_path: Path, folder: Path) -> None:
    values = ("host=0.0.0.0", "api_key=chosen-by-hand", "log_level=debug")
    with launched(tmp_path, folder, *values) as process:
        process.wait_for("/healthz")
        assert process.get("/api/models").status_code == 401
        headers = {"authorization": "Bearer chosen-by-hand"}
        response = httpx.get(process.url + "/api/models", headers=headers)
        assert response.status_code == 200
        assert "chosen-by-hand" not in process.output() + log_files(process)
