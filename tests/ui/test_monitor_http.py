"""What the Monitor tab asks for, over HTTP, and who is told what by the warning."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from qwen_webui.measure.monitor import Sample
from tests.nvml import GIB, FakeNvml
from tests.ui.site import Site

pytestmark = pytest.mark.slow

KEY, ADMIN = "an-ordinary-key", "the-admins-key"
OTHER = (1 << 22) + 1  # no process has this number


@pytest.fixture(scope="module")
def nvml() -> Iterator[FakeNvml]:
    with pytest.MonkeyPatch.context() as patch:
        yield FakeNvml(processes=[(OTHER, 5 * GIB)]).install(patch)


@pytest.fixture(scope="module")
def locked(nvml: FakeNvml, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("monitor")
    site = Site(folder, device="auto", api_key=KEY, admin_key=ADMIN, memory_warning=90).start()
    yield site
    site.stop()


def get(site: Site, path: str, key: str = KEY, **headers: str) -> Any:
    bearer = {"authorization": f"Bearer {key}", **headers}
    answer = httpx.get(site.url + path, headers=bearer)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_points_come_whole_and_then_only_the_new_ones(locked: Site) -> None:
    monitor = locked.services.monitor
    latest = locked.call(monitor.take())
    begin = latest.time // 1000 * 1000 + 2000
    for second in range(100):
        monitor.history.add(Sample(time=begin + second, memory_used=second))
    monitor.latest = Sample(time=begin + 99, memory_used=99)
    fine = get(locked, "/ui/monitor?seconds=50")
    assert fine["times"] == [begin + second for second in range(49, 100)]
    assert fine["columns"]["memory_used"] == list(range(49, 100))
    assert (fine["device"], fine["device_name"], fine["step"]) == ("cuda", "A Card", 1)
    coarse = get(locked, "/ui/monitor?seconds=3600")
    assert coarse["step"] == 10
    assert coarse["columns"]["memory_used"][-10:] == list(range(9, 100, 10))
    later = get(locked, f"/ui/monitor?seconds=3600&since={begin + 80}")
    assert later["times"] == [begin + 80, begin + 90]
    for odd in ("seconds=nan&since=inf", "seconds=-4&since=x", "seconds=1e99"):
        assert get(locked, f"/ui/monitor?{odd}")["now"] == begin + 99


def test_the_data_ask_for_the_key(locked: Site) -> None:
    assert httpx.get(locked.url + "/ui/monitor").status_code == 401


def test_the_warning_tells_an_admin_more(locked: Site, nvml: FakeNvml) -> None:
    monitor = locked.services.monitor
    locked.call(monitor.take())
    assert get(locked, "/ui/bar")["warning"] == ""
    nvml.used = 23 * GIB
    locked.call(monitor.take())
    for key in (KEY, ADMIN):
        shown = html.unescape(get(locked, "/ui/bar", key)["warning"])
        assert "The card's memory is nearly full: 23.0 GiB of 24.0 GiB (96 %)." in shown
        assert "--max-context below 4,096" in shown and "--max-running below 2" in shown
        assert ("render holds most of it, 5.0 GiB" in shown) == (key == ADMIN)
        assert ('data-do="models"' in shown) == (key == ADMIN)
    chinese = get(locked, "/ui/bar", ADMIN, **{"accept-language": "zh-CN"})["warning"]
    assert "显存快用完了" in chinese and not re.search(r"\{\w+\}", chinese)
    seen = get(locked, "/ui/bar", ADMIN)
    nvml.used = 22 * GIB
    locked.call(monitor.take())
    # Still the same warning, with the same figures: it is not read out again.
    assert get(locked, "/ui/bar", ADMIN)["version"] == seen["version"]
    nvml.used = 6 * GIB
    locked.call(monitor.take())
    assert get(locked, "/ui/bar", ADMIN)["warning"] == ""


def test_the_page_is_the_same_without_the_monitor_running(tmp_path: Path) -> None:
    site = Site(tmp_path).start(first=None)
    try:
        answer = httpx.get(site.url + "/ui/monitor").json()
    finally:
        site.stop()
    assert (answer["latest"], answer["times"]) == (None, [])
