"""What the server adds to the bare engine: tokens/s and first-token delay, all in one run.

    python benchmarks/serving.py [--checkpoint FOLDER] [--tokens 400] [--repeat 5] [--no-page]

The same prompt, the same number of tokens, greedy, one request at a time: bare `generate()` of
transformers in a process of its own, POST /api/generate of a server this script starts, and the
page in Chromium (which shares the processor with the model when there is no card). The three
take turns `repeat` times; medians are printed, and each share is of the bare figure of this run.
The end-of-turn token is taken out of a copy of the checkpoint, so every answer has full length.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parent.parent
PROMPT = "Tell me about yourself."
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Marks every growth of the last answer with its time, inside the page, so that what is measured
# is what a reader sees and not how often Playwright asks.
WATCH = """() => {
  window.marks = [];
  new MutationObserver(() => {
    const rows = document.querySelectorAll('.bot-row .message-content:not(:has(.qw-foot))');
    const last = rows[rows.length - 1];
    const length = last ? last.textContent.length : 0;
    const before = window.marks.length ? window.marks[window.marks.length - 1][1] : 0;
    if (length !== before) window.marks.push([performance.now(), length]);
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


@dataclass(frozen=True)
class Figure:
    """One answer: seconds to the first token and tokens/s after it."""

    first: float
    speed: float


def endless(source: Path, target: Path) -> Path:
    """A copy of a checkpoint (weights linked) whose answers do not end by themselves."""
    target.mkdir()
    changed = ("generation_config.json", "config.json", "tokenizer_config.json")
    for file in source.iterdir():
        if file.name not in changed:
            (target / file.name).symlink_to(file)
    generation, config, tokenizer = (json.loads((source / n).read_text()) for n in changed)
    generation["eos_token_id"] = config["eos_token_id"] = generation["pad_token_id"]
    tokenizer["eos_token"] = tokenizer["pad_token"]
    for name, value in zip(changed, (generation, config, tokenizer), strict=True):
        (target / name).write_text(json.dumps(value))
    return target


def bare(folder: Path, tokens: int) -> None:
    """In a process of its own: answer once for each line read, and print a Figure as JSON."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.generation.streamers import BaseStreamer

    class Clock(BaseStreamer):
        def __init__(self) -> None:
            self.times: list[float] = []

        def put(self, value: torch.Tensor) -> None:
            self.times.append(time.perf_counter())

        def end(self) -> None:
            pass

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.float16 if device == "cuda" else torch.float32
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": PROMPT}], tokenize=False, add_generation_prompt=True
    )
    inputs = tokenizer(text, return_tensors="pt").to(device)
    for _ in sys.stdin:
        clock = Clock()
        start = time.perf_counter()
        model.generate(**inputs, max_new_tokens=tokens, do_sample=False, streamer=clock)
        times = clock.times[1:]  # the first call of put() is the prompt
        speed = (len(times) - 1) / (times[-1] - times[0])
        print(json.dumps([times[0] - start, speed]), flush=True)


class Bare:
    """The process that runs `bare`."""

    def __init__(self, folder: Path, tokens: int) -> None:
        command = [sys.executable, __file__, "--bare", str(folder), "--tokens", str(tokens)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def answer(self) -> Figure:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Figure(*json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def server(folder: Path, data: Path) -> Iterator[str]:
    """`app.py` on a free port, ready; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, str(ROOT / "app.py"), "--model", str(folder), "--offline"]
    command += ["--port", str(port), "--data-dir", str(data), "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(url + "/readyz").status_code == 200:
                    break
            time.sleep(0.2)
        else:
            raise SystemExit("the server was not ready within 120 s")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def through_api(client: httpx.Client, url: str, tokens: int) -> Figure:
    """POST /api/generate, streamed; the figures are those of the client's clock."""
    body = {"prompt": PROMPT, "max_new_tokens": tokens, "temperature": 0, "stream": True}
    body["repetition_penalty"] = 1.0
    first = last = 0.0
    start = time.perf_counter()
    with client.stream("POST", url + "/api/generate", json=body, timeout=600) as response:
        assert response.status_code == 200, response.read()
        for line in response.iter_lines():
            if line.startswith("data: "):
                event = json.loads(line[6:])
                if event.get("usage"):
                    made = event["usage"]["completion_tokens"]
                elif event.get("text"):
                    last = time.perf_counter()
                    first = first or last
    assert made == tokens, f"{made} tokens came, {tokens} were asked for"
    return Figure(first - start, (tokens - 1) / (last - first))


class Page:
    """One tab in Chromium whose sampling is set to greedy and to `tokens` new tokens."""

    def __init__(self, url: str, tokens: int) -> None:
        from playwright.sync_api import sync_playwright

        self._tokens = tokens
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(CHROMIUM_FLAGS)
        )
        self._page = self._browser.new_page(locale="en-US")
        self._url = url

    def _set_sampling(self) -> None:
        page = self._page
        page.locator(".qw-chip.qw-ready").wait_for()
        page.click("#qw-sampling > button")
        values = {"temperature": 0, "repetition-penalty": 1, "max-new-tokens": self._tokens}
        for name, value in values.items():
            number = page.locator(f"#qw-{name} input[type=number]")
            number.fill(str(value))
            number.press("Tab")

    def answer(self) -> Figure:
        page = self._page
        page.goto(self._url)  # a new conversation: the prompt is the same every time
        self._set_sampling()
        page.fill("#qw-text textarea", PROMPT)
        page.evaluate(WATCH)
        start = page.evaluate("performance.now()")
        page.press("#qw-text textarea", "Enter")
        facts = page.locator(".bot-row .qw-facts")
        facts.wait_for(timeout=600_000)
        assert f"+ {self._tokens} tokens" in facts.inner_text(), facts.inner_text()
        marks = page.evaluate("window.marks")
        first, last = marks[0], marks[-1]
        # The first mark may show several tokens: characters say what share of them came after it.
        after = self._tokens * (last[1] - first[1]) / last[1]
        return Figure((first[0] - start) / 1000, after / ((last[0] - first[0]) / 1000))

    def close(self) -> None:
        self._browser.close()
        self._playwright.stop()


def measure(folder: Path, tokens: int, repeat: int, with_page: bool) -> dict[str, list[Figure]]:
    """Figures by way, each measured `repeat` times after one warm-up, in turns."""
    found: dict[str, list[Figure]] = {}
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        copy = endless(folder.resolve(), Path(scratch) / "endless")
        engine = Bare(copy, tokens)
        stack.callback(engine.close)
        url = stack.enter_context(server(copy, Path(scratch) / "data"))
        client = stack.enter_context(httpx.Client())
        ways = {"bare generate()": engine.answer}
        ways["/api/generate"] = lambda: through_api(client, url, tokens)
        if with_page:
            page = Page(url, tokens)
            stack.callback(page.close)
            ways["the page"] = page.answer
        for turn in range(repeat + 1):
            for name, answer in ways.items():
                figure = answer()
                if turn:
                    found.setdefault(name, []).append(figure)
    return found


def table(found: dict[str, list[Figure]]) -> str:
    """Medians, with each way's share of the bare speed and the delay it adds."""
    speed = {n: statistics.median(f.speed for f in figures) for n, figures in found.items()}
    first = {n: statistics.median(f.first for f in figures) for n, figures in found.items()}
    base = next(iter(found))
    lines = ["| | tokens/s | of bare | first token, ms | added, ms |", "|---|---|---|---|---|"]
    for name in found:
        lines.append(
            f"| {name} | {speed[name]:.1f} | {100 * speed[name] / speed[base]:.1f} % | "
            f"{1000 * first[name]:.1f} | {1000 * (first[name] - first[base]):.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "qwen_webui/demo/demo-fp16")
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--no-page", action="store_true")
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.bare:
        return bare(given.bare, given.tokens)
    found = measure(given.checkpoint, given.tokens, given.repeat, not given.no_page)
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}; {given.tokens} tokens, {given.repeat} rounds\n"
    )
    print(table(found))


if __name__ == "__main__":
    main()
