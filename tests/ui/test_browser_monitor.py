"""The Monitor tab in Chromium: plots of the last hour, one moment read, and the warning."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.nvml import GIB, FakeNvml
from tests.ui.hands import Hands, until
from tests.ui.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Where pictures are put to be looked at, if somebody wants them.
PICTURES = os.environ.get("QWEN_WEBUI_TEST_PICTURES")
OTHER = (1 << 22) + 1  # no process has this number


@pytest.fixture(scope="module")
def nvml() -> Iterator[FakeNvml]:
    with pytest.MonkeyPatch.context() as patch:
        yield FakeNvml(processes=[(OTHER, 5 * GIB)], missing={"nvmlDeviceGetPowerUsage"}).install(
            patch
        )


@pytest.fixture(scope="module")
def running(nvml: FakeNvml, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), device="auto").start()
    yield site
    site.stop()


def fill(site: Site) -> None:
    """An hour of a card that answers now and then."""
    monitor = site.services.monitor
    now = site.call(monitor.take())
    for back in range(3600, 0, -1):
        busy = max(0.0, math.sin(back / 40))
        cache, rest = 3.0 * GIB, (1 + 0.4 * busy) * GIB
        site.services.monitor.history.add(
            replace(
                now,
                time=now.time - back,
                memory_used=6.5 * GIB + cache + rest,
                weights=5.2 * GIB,
                cache=cache,
                rest=rest,
                others=1.3 * GIB,
                tokens_per_second=90 * busy,
                first_token=0.2 + 0.1 * busy if back % 15 == 0 else None,
                running=round(2 * busy),
                waiting=max(0, round(5 * busy) - 2),
                utilisation=95 * busy,
                memory_utilisation=60 * busy,
                temperature=50 + 20 * busy,
                sm_clock=1200 + 700 * busy,
                memory_clock=2619,
            )
        )
    monitor.history.add(replace(now, time=time.time()))


def picture(me: Hands, name: str) -> None:
    if PICTURES:
        me.page.wait_for_timeout(400)
        me.page.screenshot(path=str(Path(PICTURES) / f"{name}.png"))


def test_the_last_hour_is_plotted_and_any_moment_can_be_read(me: Hands, site: Site) -> None:
    fill(site)
    me.page.click("[data-tab-link=monitor]")
    memory = me.page.locator(".qw-plot", has_text="KV cache")
    expect(memory.locator("polygon")).to_have_count(4)
    expect(me.page.locator("[data-monitor=device]")).to_have_text("A Card")
    expect(me.page.locator("[data-tile^=memory_used] dd")).to_have_text(
        "6.0 GiB of 24.0 GiB (25 %)"
    )
    expect(me.page.locator("[data-tile=power] dd")).to_have_text("not available")
    power = me.page.locator(".qw-plot", has_text="Power")
    expect(power.locator(".qw-canvas")).to_have_text("not available")
    expect(me.page.locator(".qw-plot", has_text="All processors")).to_be_hidden()
    canvas = memory.locator(".qw-canvas")
    spoken = re.compile("^Memory: Weights 4 MiB, .*; highest 10.9 GiB")
    expect(canvas).to_have_attribute("aria-label", spoken)
    picture(me, "five-minutes")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    me.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    expect(memory.locator("[data-series=weights] b")).to_have_text("5.2 GiB")
    expect(memory.locator("time")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
    # The same moment in all of them.
    expect(me.page.locator(".qw-cursor[visibility=visible]")).to_have_count(7)
    picture(me, "hover")
    me.page.mouse.move(2, 2)
    expect(me.page.locator(".qw-cursor[visibility=visible]")).to_have_count(0)
    canvas.focus()
    me.page.keyboard.press("Home")
    read = canvas.get_attribute("aria-label") or ""
    assert "Weights 5.2 GiB, KV cache 3.0 GiB" in read
    me.page.keyboard.press("ArrowRight")
    assert canvas.get_attribute("aria-label") != read
    me.page.click("[data-range='3600']")
    expect(memory.locator("polygon")).to_have_count(4)
    expect(me.page.locator("[data-range='3600']")).to_have_attribute("aria-pressed", "true")
    picture(me, "hour")
    me.page.click("#qw-new")
    expect(me.page.locator("#qw-chat")).to_be_visible()
    expect(me.page.locator("#qw-monitor")).to_be_hidden()


def test_new_points_come_while_somebody_looks(me: Hands, site: Site, nvml: FakeNvml) -> None:
    me.page.click("[data-tab-link=monitor]")
    site.call(site.services.monitor.take())
    tile = me.page.locator("[data-tile^=memory_used] dd")
    expect(tile).to_contain_text("6.0 GiB")
    nvml.used = 12 * GIB
    site.call(site.services.monitor.take())
    expect(tile).to_contain_text("12.0 GiB of 24.0 GiB (50 %)")
    nvml.used = 6 * GIB


def test_the_warning_stands_above_every_tab_until_it_is_closed(
    tab: Callable[..., Hands], site: Site, nvml: FakeNvml
) -> None:
    monitor = site.services.monitor
    nvml.used = 23 * GIB
    site.call(monitor.take())
    me = tab(locale="zh-CN").open().ready()
    warning = me.page.locator(".qw-warning")
    expect(warning).to_contain_text("显存快用完了：23.0 GiB / 24.0 GiB（96%）")
    expect(warning).to_contain_text("render 占用最多，为 5.0 GiB")
    picture(me, "warning-zh")
    me.page.click("[data-tab-link=monitor]")
    expect(warning).to_be_visible()
    expect(me.page.locator(".qw-monitor-head h2")).to_have_text("监控")
    me.page.set_viewport_size({"width": 390, "height": 844})
    me.page.evaluate("document.body.classList.add('dark')")
    picture(me, "narrow-dark-zh")
    # Plots are drawn anew for the width a moment later.
    me.page.wait_for_function(
        "[...document.querySelectorAll('#qw-monitor *')].every("
        "e => e.getBoundingClientRect().right <= innerWidth + 1)"
    )
    warning.locator("[data-do=warning-close]").click()
    expect(warning).to_be_hidden()
    picture(me, "narrow-dark-zh-closed")
    # Another crossing is another warning.
    nvml.used = 6 * GIB
    site.call(monitor.take())
    until(lambda: monitor.warning is None)
    nvml.used = 24 * GIB
    site.call(monitor.take())
    expect(warning).to_be_visible(timeout=15_000)
    warning.locator("[data-do=models]").click()
    expect(me.page.locator("#qw-dialog")).to_contain_text("模型")
    nvml.used = 6 * GIB
    site.call(monitor.take())
    expect(warning).to_be_hidden(timeout=15_000)
