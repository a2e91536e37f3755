"""Takes the pictures of docs/images/ from the real page, with the embedded checkpoint.

    python scripts/screenshots.py [--out docs/images] [--chromium PROGRAM]

Starts the program on a free port with a data folder of its own, asks it a few questions and ends
it. Needs the extra "test" (Playwright) and a Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parent.parent
START_SECONDS = 60
ANSWER_MS = 120_000
QUESTIONS = {
    "en": (
        "The Lorna is a ship. The captain of the Lorna is Pella Grint. It is 48 metres long.\n\n"
        "Who commands the Lorna?",
        "How do I load a real model?",
    ),
    "zh": (
        "洛安号是一艘船。洛安号的船长是沈青禾。它长48米。\n\n洛安号由谁指挥？",
        "怎样加载真正的模型？",
    ),
}


DOCUMENTS = {
    "en": (
        ("The Lorna is a ship. It is 48 metres long.", "The captain of the Lorna is Pella Grint."),
        ("Who is the captain of the Lorna?", "How many lamps has the Lorna?"),
    ),
    "zh": (
        ("洛安号是一艘船。洛安号长48米。", "洛安号的船长是沈青禾。"),
        ("洛安号的船长是谁？", "洛安号有多少盏灯？"),
    ),
}


@dataclass(frozen=True)
class Picture:
    """One picture: what is asked, how wide the window is, and what is open."""

    name: str
    language: str
    width: int = 1360
    height: int = 820
    dark: bool = False
    models: bool = False
    example: str = ""  # of the JSON tab, run instead of the questions
    document: bool = False  # one is attached and asked instead
    compare: bool = False  # a prompt through all precisions instead
    monitor: bool = False  # the last five minutes are shown, with what was asked in them


PICTURES = (
    Picture("chat-en", "en"),
    Picture("chat-zh", "zh"),
    Picture("chat-dark", "en", dark=True),
    Picture("models-en", "en", models=True, height=900),
    Picture("json-en", "en", example="person"),
    Picture("json-zh", "zh", example="person"),
    Picture("json-phone-zh", "zh", width=390, height=780, example="person"),
    Picture("documents-en", "en", document=True),
    Picture("documents-zh", "zh", document=True),
    Picture("phone-en", "en", width=390, height=780),
    Picture("phone-zh", "zh", width=390, height=780),
    Picture("compare-en", "en", compare=True, height=1100),
    Picture("compare-zh", "zh", compare=True, height=1100),
    Picture("monitor-en", "en", monitor=True, height=900),
    Picture("monitor-zh", "zh", monitor=True, height=900),
)


def main() -> int:
    """Take every picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with serving() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=given.chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for picture in PICTURES:
            take(browser, url, picture, given.out / f"{picture.name}.png")
        browser.close()
    return 0


@contextmanager
def serving() -> Iterator[str]:
    """The program, ready to answer, and its address."""
    with tempfile.TemporaryDirectory() as data, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        url = f"http://127.0.0.1:{port}"
        command = [sys.executable, str(ROOT / "app.py"), "--port", str(port), "--data-dir", data]
        process = subprocess.Popen([*command, "--log-level", "warning"])
        try:
            wait_until_ready(url)
            yield url
        finally:
            process.terminate()
            process.wait()


def wait_until_ready(url: str) -> None:
    """Return when the model answers; SystemExit with a sentence when it does not."""
    end = monotonic() + START_SECONDS
    while monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            sleep(0.2)
    raise SystemExit(f"The program was not ready within {START_SECONDS} seconds.")


def take(browser: Browser, url: str, picture: Picture, path: Path) -> None:
    """Talk a little, then take the picture."""
    context = browser.new_context(
        viewport={"width": picture.width, "height": picture.height},
        locale="zh-CN" if picture.language == "zh" else "en-GB",
        color_scheme="dark" if picture.dark else "light",
        device_scale_factor=2,
        reduced_motion="reduce",
    )
    page = context.new_page()
    tab = "json" if picture.example else "compare" if picture.compare else ""
    page.goto(f"{url}/?tab={tab}" if tab else url)
    page.wait_for_selector(".qw-chip.qw-ready")
    if picture.example:
        run_example(page, picture.example)
    elif picture.compare:
        compare(page, "\n---\n".join(QUESTIONS[picture.language]))
    elif picture.document:
        attach(page, picture.language)
    else:
        page.wait_for_selector(".qw-meter .qw-gauge")
        for number, question in enumerate(QUESTIONS[picture.language], 1):
            ask(page, question, number)
    if picture.monitor:
        page.click("[data-tab-link=monitor]")
        page.wait_for_selector("#qw-monitor svg polyline")
    if picture.models:
        page.click(".qw-bar [data-do=models]")
        page.wait_for_selector("#qw-dialog table")
    page.wait_for_timeout(600)
    page.screenshot(path=path)
    print(path)
    context.close()


def ask(page: Page, question: str, number: int) -> None:
    """Send a question and wait for the end of its answer."""
    page.fill("#qw-text textarea", question)
    page.press("#qw-text textarea", "Enter")
    page.locator(".bot-row .qw-facts").nth(number - 1).wait_for(timeout=ANSWER_MS)


def attach(page: Page, language: str) -> None:
    """Attach a text whose pages end with form feeds, and ask about it."""
    pages, questions = DOCUMENTS[language]
    name = "lorna.txt" if language == "en" else "洛安号.txt"
    text = "\f".join(pages).encode()
    file = {"name": name, "mimeType": "text/plain", "buffer": text}
    page.set_input_files("#qw-attach [data-attach-files]", file)
    page.wait_for_selector("[data-documents=chat] [data-diagnose]")
    for number, question in enumerate(questions, 1):
        ask(page, question, number)


def compare(page: Page, questions: str) -> None:
    """Put questions to the precisions that are chosen first; the end of the answers in view."""
    page.wait_for_selector("[name=checkpoint]:checked")
    page.fill("#qw-compare-text", questions)
    page.click("#qw-compare-run")
    page.wait_for_selector("[data-part=tools] a", timeout=ANSWER_MS)
    page.evaluate("document.querySelector('[data-compare=result]').scrollIntoView()")


def run_example(page: Page, name: str) -> None:
    """Choose an example of the JSON tab and wait for its valid answer."""
    page.click(f"[data-example={name}]")
    page.click("#qw-json-run")
    page.wait_for_selector(".qw-standing[data-state=valid]", timeout=ANSWER_MS)


if __name__ == "__main__":
    sys.exit(main())
