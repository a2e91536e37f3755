"""`qwen-webui ask`: files and a question in; the answer, its checked citations and a code out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qwen_webui import cli
from qwen_webui.command_ask import here
from qwen_webui.documents.ocr import Ocr
from qwen_webui.engines.scripted import Script, ScriptedLoader
from qwen_webui.errors import GenerationFailed
from qwen_webui.services import Services, open_services
from qwen_webui.settings import Settings
from qwen_webui.types import CheckpointSpec, GenerationRequest
from tests.documents.making import pdf, scanned
from tests.serving import until
from tests.test_cli import run
from tests.ui.site import Site

CAPTAIN = "The captain of the Lorna is Pella Grint."
PAGES = ("The Lorna is a ship.", CAPTAIN, "The Lorna is 48 metres long.")
GOOD = f'Pella Grint.\nSource: "{CAPTAIN}" [p. 2]'
Capture = pytest.CaptureFixture[str]
Answer = Callable[[str], None]


@pytest.fixture
def lorna(tmp_path: Path) -> Path:
    file = tmp_path / "lorna.pdf"
    file.write_bytes(pdf(PAGES))
    return file


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """Sixty pages, which are more than the embedded checkpoint holds."""
    file = tmp_path / "long.pdf"
    text = "The river of this valley is calm and its water is cold all the year.\n" * 6
    file.write_bytes(pdf([f"Chapter {page}. {text}" for page in range(1, 61)]))
    return file


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch) -> ScriptedLoader:
    """In place of the worker process, of the command that answers by itself."""
    scripted = ScriptedLoader()

    async def opened(settings: Settings) -> Services:
        return await open_services(settings, scripted)

    monkeypatch.setattr(here, "open_services", opened)
    return scripted


@pytest.fixture
def ask(tmp_path: Path, loader: ScriptedLoader) -> Callable[..., int]:
    data = tmp_path / "data"

    def asked(*words: str | Path, answer: str = GOOD) -> int:
        loader.script = Script(answer=lambda spec, request: answer)
        given = [str(word) for word in words]
        return cli.main(["ask", *given, "--data-dir", str(data), "--device", "cpu"])

    return asked


# By itself.


def test_the_answer_comes_with_its_citations(
    ask: Callable[..., int], lorna: Path, capsys: Capture
) -> None:
    assert ask(lorna, "Who is the captain?") == 0
    said = capsys.readouterr()
    assert said.out == (
        f'{GOOD}\n\nCitations:\n  [page 2] "{CAPTAIN}": verified, it stands on page 2\n'
    )
    assert said.err.endswith("Read: all of the text, in one call: pages 1-3.\n")
    assert "Left out" not in said.err and "Warning" not in said.err


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (f'"{CAPTAIN}" [p. 1]', f'[page 1] "{CAPTAIN}": NOT on page 1, it stands on page 2'),
        (f'"{CAPTAIN}" [p. 9]', f'[page 9] "{CAPTAIN}": there is NO page 9, it stands on page 2'),
        (
            '"The captain is Mira Tolen." [p. 2]',
            '[page 2] "The captain is Mira Tolen.": NOT FOUND in the document',
        ),
        (f'"{CAPTAIN}"', f'"{CAPTAIN}": verified, it stands on page 2'),
        ('"is" [p. 2]', '[page 2] "is": too short to be checked'),
        ("[p. 9]", "[page 9] there is NO page 9"),
    ],
)
def test_each_verdict_has_its_words(
    ask: Callable[..., int], lorna: Path, capsys: Capture, source: str, line: str
) -> None:
    assert ask(lorna, "Who is the captain?", answer=f"Pella Grint.\nSource: {source}") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"  {line}"


def test_an_answer_without_citations_has_no_list_of_them(
    ask: Callable[..., int], lorna: Path, capsys: Capture
) -> None:
    none = "The cook is not mentioned.\nSource: none"
    assert ask(lorna, "Who is the cook?", answer=none) == 0
    assert capsys.readouterr().out == none + "\n"


def test_what_is_left_out_of_a_long_document_is_said(
    ask: Callable[..., int], long: Path, capsys: Capture
) -> None:
    assert ask(long, "What is in chapter 17?", answer="Water.") == 0
    err = capsys.readouterr().err
    assert "Read: what was found for the question, in one call: pages " in err
    assert "Left out, at least in part: pages " in err


def test_all_of_a_long_document_is_read_when_asked_to(
    ask: Callable[..., int], long: Path, capsys: Capture
) -> None:
    assert ask("--summarise", long, "What is in chapter 17?", answer="Water.") == 0
    said = capsys.readouterr()
    assert said.out == "Water.\n"
    assert "Read: part after part, in " in said.err and ": pages 1-60.\n" in said.err
    calls = int(said.err.split("Read: part after part, in ")[1].split()[0])
    for done in range(calls):
        assert f"reading: {done} of {calls} calls are done\n" in said.err


def test_as_json_it_is_one_object(ask: Callable[..., int], lorna: Path, capsys: Capture) -> None:
    assert ask(lorna, "--json", "Who is the captain?") == 0
    value = json.loads(capsys.readouterr().out)
    assert value["answer"] == GOOD
    (citation,) = value["citations"]
    assert (citation["document"], citation["page"]) == (str(lorna), 2)
    assert (citation["quote"], citation["verified"]) == (CAPTAIN, True)
    assert [(span["document"], span["page"]) for span in value["read"]] == [
        (str(lorna), page) for page in (1, 2, 3)
    ]
    assert (value["mode"], value["left_out"]) == ("whole", [])


def test_several_files_have_their_names(
    ask: Callable[..., int], lorna: Path, tmp_path: Path, capsys: Capture
) -> None:
    other = tmp_path / "tarvo.txt"
    other.write_text("The Tarvo costs 120 crowns.")
    answer = '120 crowns.\nSource: "The Tarvo costs 120 crowns." [doc 2, p. 1]'
    assert ask(lorna, other, lorna, "What does the Tarvo cost?", answer=answer) == 0
    said = capsys.readouterr()
    quote = '"The Tarvo costs 120 crowns."'
    assert f"  [tarvo.txt, part 1] {quote}: verified, it stands on part 1\n" in said.out
    assert "Read: all of the text, in one call: lorna.pdf pages 1-3; tarvo.txt part 1.\n" in (
        said.err
    )


def test_of_several_files_the_one_at_fault_is_named(
    ask: Callable[..., int], lorna: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "empty.pdf").touch()
    assert ask(lorna, tmp_path / "empty.pdf", "Who?") != 0
    assert "empty.pdf: The file is empty" in capsys.readouterr().err


def test_pages_that_could_not_be_read_are_said_before_the_answer(
    ask: Callable[..., int], tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "scan.pdf"
    file.write_bytes(scanned([CAPTAIN], before="The Lorna is a ship."))
    assert ask(file, "Who is the captain?", answer="Nobody.") == 0
    said = capsys.readouterr()
    warning = (
        "Warning: 1 of the 2 pages of scan.pdf could not be read (page 2). The answer knows "
        "nothing of them; with --ocr those that are scanned are read first.\n"
    )
    assert warning in said.err
    assert said.err.index(warning) < said.err.index("Read: all of the text")


def test_a_file_without_any_text_is_refused(
    ask: Callable[..., int], tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "scan.pdf"
    file.write_bytes(scanned([CAPTAIN]))
    assert ask(file, "Who is the captain?") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("qwen-webui: No text could be read of the document")


def test_ocr_that_is_not_there_is_a_sentence(
    ask: Callable[..., int], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing() -> Ocr:
        return Ocr(available=False, install="apt install tesseract-ocr")

    monkeypatch.setattr(here, "find_ocr", nothing)
    file = tmp_path / "scan.pdf"
    file.write_bytes(scanned([CAPTAIN]))
    assert ask(file, "--ocr", "Who is the captain?") == 1
    assert "Install it (`apt install tesseract-ocr`)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.pdf", None, "There is no file '"),
        ("empty.pdf", b"", "empty"),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 64, "png"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_sentence(
    ask: Callable[..., int],
    tmp_path: Path,
    capsys: Capture,
    name: str,
    content: bytes | None,
    says: str,
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert ask(tmp_path / name, "Who is the captain?") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err.splitlines()[-1].lower() or says in said.err.splitlines()[-1]


def test_nothing_of_the_file_stays(
    ask: Callable[..., int], tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "diary.txt"
    file.write_text("The secret word is Zanzibarnica.")
    assert ask(file, "What is the secret word?") == 0
    kept = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert kept, "the store is there"
    assert not any(b"Zanzibarnica" in path.read_bytes() for path in kept)
    assert not any("diary" in path.name for path in kept)


def test_without_a_question_it_is_a_matter_of_usage(lorna: Path) -> None:
    done = run("ask", str(lorna))
    assert done.returncode == 2
    assert "TEXT" in done.stderr


@pytest.mark.slow
def test_the_embedded_checkpoint_finds_the_captain(lorna: Path, tmp_path: Path) -> None:
    words = ("--temperature", "0", "--data-dir", str(tmp_path / "d"))
    done = run("ask", str(lorna), "Who is the captain of the Lorna?", *words)
    assert done.returncode == 0, done.stderr
    assert f'[page 2] "{CAPTAIN}": verified, it stands on page 2' in done.stdout


# By a server.


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    running = Site(tmp_path_factory.mktemp("site")).start()
    running.call(until(running.services.manager, lambda status: status.state == "ready"))
    yield running
    running.stop()


def left(site: Site) -> list[str]:
    """What lies in the folder of uploads."""
    folder = site.settings.data_dir / "uploads"
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def answering(text: str) -> Callable[[CheckpointSpec, GenerationRequest], str]:
    return lambda spec, request: text


def test_a_server_answers_alike_and_keeps_nothing(site: Site, lorna: Path, capsys: Capture) -> None:
    site.script(answer=answering(GOOD))
    assert cli.main(["ask", str(lorna), "--url", site.url, "Who is the captain?"]) == 0
    said = capsys.readouterr()
    assert said.out == (
        f'{GOOD}\n\nCitations:\n  [page 2] "{CAPTAIN}": verified, it stands on page 2\n'
    )
    assert said.err.endswith("Read: all of the text, in one call: pages 1-3.\n")
    assert left(site) == []


def test_a_server_is_asked_about_several_files(
    site: Site, lorna: Path, tmp_path: Path, capsys: Capture
) -> None:
    other = tmp_path / "tarvo.txt"
    other.write_text("The Tarvo costs 120 crowns.")
    site.script(answer=answering(f'Here: "{CAPTAIN}" [doc 2, p. 2]'))
    words = ["ask", "--json", str(other), str(lorna), "Who is the captain?", "--url", site.url]
    assert cli.main(words) == 0
    value = json.loads(capsys.readouterr().out)
    assert [one["id"] for one in value["documents"]] == [str(other), str(lorna)]
    (citation,) = value["citations"]
    assert (citation["document"], citation["verified"]) == (str(lorna), True)
    assert left(site) == []


def test_what_fails_on_a_server_is_said_and_the_file_deleted(
    site: Site, lorna: Path, capsys: Capture
) -> None:
    site.script(fail_at=1, error=GenerationFailed("The model broke."))
    assert cli.main(["ask", str(lorna), "Who?", "--url", site.url]) == 1
    assert "The model broke." in capsys.readouterr().err
    assert left(site) == []


def test_what_a_server_refuses_is_said(site: Site, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "empty.pdf"
    file.write_bytes(b"")
    assert cli.main(["ask", str(file), "Who?", "--url", site.url]) == 1
    assert "empty" in capsys.readouterr().err
    assert left(site) == []


def test_where_no_server_is_it_is_a_sentence(lorna: Path, capsys: Capture) -> None:
    assert cli.main(["ask", str(lorna), "Who?", "--url", "http://127.0.0.1:9"]) == 1
    assert "No qwen-webui server answered" in capsys.readouterr().err


def test_a_server_with_keys_is_asked_with_the_right_one(
    tmp_path: Path, lorna: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = Site(tmp_path / "locked", api_key="the-servers-key").start()
    try:
        locked.call(until(locked.services.manager, lambda status: status.state == "ready"))
        words = ["ask", str(lorna), "Who is the captain?", "--url", locked.url]
        for more in ([], ["--api-key", "some-other-key"]):
            assert cli.main([*words, *more]) == 1
            said = capsys.readouterr()
            assert said.out == "" and "asks for" in said.err
            assert "--api-key" in said.err and "QWEN_WEBUI_API_KEY" in said.err
            assert "some-other-key" not in said.err
            assert left(locked) == []
        monkeypatch.setenv("QWEN_WEBUI_API_KEY", "the-servers-key")
        assert cli.main(words) == 0
        assert left(locked) == []
    finally:
        locked.stop()
