"""Every command. A command's module is imported inside that command, so `--help` stays quick.

The one place in the program where imports inside functions are right.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from qwen_webui import __version__
from qwen_webui.errors import WebUIError
from qwen_webui.settings import Settings, add_flags, read_settings
from qwen_webui.types import PRECISIONS

COMMANDS = ("serve", "chat", "ask", "models", "quantize", "fidelity", "delete-all")
USAGE = """\
  qwen-webui [serve] [flags]     open the page and the API (the default)
  qwen-webui chat TEXT           answer on the command line
  qwen-webui ask FILE... TEXT    answer from documents, with checked citations
  qwen-webui models              every checkpoint, its size and whether it fits here
  qwen-webui quantize SOURCE     make a GPTQ or AWQ checkpoint from an unquantised one
  qwen-webui fidelity            what each precision loses, measured on this machine
  qwen-webui delete-all          delete everything this program has stored
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the process's exit code (0, 1 for a named error, 2 for usage)."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = words.pop(0) if words and words[0] in COMMANDS else "serve"
    parser = _parser(command)
    # Files and a question may stand around the flags.
    parse = parser.parse_intermixed_args if command == "ask" else parser.parse_args
    given = parse(words)
    try:
        return int(_RUN[command](given))
    except WebUIError as error:
        print(f"qwen-webui: {error.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser(command: str) -> argparse.ArgumentParser:
    """The flags of one command; those of `serve` are the settings themselves."""
    parser = argparse.ArgumentParser(
        prog="qwen-webui" if command == "serve" else f"qwen-webui {command}",
        description=f"qwen-webui {__version__}: run Qwen2.5 in few bits on your own card.",
        epilog=f"commands:\n{USAGE}" if command == "serve" else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    _FLAGS[command](parser)
    return parser


def _chat_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", help="what to ask")
    parser.add_argument("--url", help="ask a running server instead, e.g. http://localhost:7860")
    parser.add_argument("--system", help="system message")
    parser.add_argument("--persona", help="id of a persona, e.g. code")
    parser.add_argument("--max-new-tokens", "--max_new_tokens", type=int)
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--seed", type=int)
    add_flags(parser)


def _ask_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="what to read")
    parser.add_argument("text", metavar="TEXT", help="the question, in quotation marks")
    parser.add_argument("--url", help="ask a running server instead, e.g. http://localhost:7860")
    parser.add_argument(
        *("--everything", "--summarise", "--summarize"),
        action="store_true",
        default=None,
        help="read what does not fit the context part after part, in up to 100 calls, and not only "
        "passages; what is beyond that is named",
    )
    parser.add_argument("--ocr", action="store_true", help="read scanned pages first (Tesseract)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--max-new-tokens", "--max_new_tokens", type=int)
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--seed", type=int)
    add_flags(parser)


def _models_flags(parser: argparse.ArgumentParser) -> None:
    add_flags(parser, only=("device", "max_context", "data_dir", "hub"))


def _quantize_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="folder of an unquantised Qwen2.5 checkpoint")
    parser.add_argument("--to", required=True, choices=[p for p in PRECISIONS if p != "fp16"])
    parser.add_argument("--out", required=True, type=Path, help="folder to write; must not exist")
    parser.add_argument("--calibration", type=Path, help="text file, one sample a paragraph")
    parser.add_argument("--samples", type=int, default=128, help="calibration samples (128)")
    parser.add_argument("--group-size", "--group_size", type=int, default=128, help="(128)")


def _fidelity_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--text", type=Path, help="text file to read, in place of the program's")
    parser.add_argument(
        "--precisions",
        nargs="+",
        choices=PRECISIONS,
        default=None,
        help="of the model; without, all that the catalogue has of it",
    )
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="CHECKPOINT",
        help="another checkpoint of the same model, by name or folder; may be given more than once",
    )
    parser.add_argument("--tokens", type=int, default=4_096, help="tokens read at most (4096)")
    parser.add_argument("--tasks", type=int, default=48, help="tasks asked at most (48); 0: none")
    parser.add_argument("--top", type=int, default=1_024, help="likeliest ids kept a token (1024)")
    parser.add_argument("--out", type=Path, help="folder for the report; default the data folder")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    add_flags(
        parser,
        only=("model", "device", "dtype", "engine_path", "hub", "hub_endpoint", "offline",
              "stall_seconds", "data_dir"),
    )  # fmt: skip


def _delete_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_flags(parser, only=("data_dir",))


def _serve(given: argparse.Namespace) -> int:
    from qwen_webui.server import run

    return run(read_settings(vars(given)))


def _chat(given: argparse.Namespace) -> int:
    from qwen_webui.command_chat import Question, ask_here, ask_server

    question = Question(
        text=given.text,
        system=given.system,
        persona=given.persona,
        max_new_tokens=given.max_new_tokens,
        temperature=given.temperature,
        seed=given.seed,
    )
    settings = read_settings(vars(given))
    if given.url:
        return ask_server(given.url, question, sys.stdout, key=_key(settings))
    return asyncio.run(ask_here(settings, question, sys.stdout, sys.stderr))


def _ask(given: argparse.Namespace) -> int:
    from qwen_webui.command_ask import FileQuestion, ask_here, ask_server

    question = FileQuestion(
        files=tuple(dict.fromkeys(given.files)),
        text=given.text,
        everything=given.everything,
        ocr=given.ocr,
        as_json=given.json,
        max_new_tokens=given.max_new_tokens,
        temperature=given.temperature,
        seed=given.seed,
    )
    settings = read_settings(vars(given))
    if given.url:
        return ask_server(given.url, question, sys.stdout, sys.stderr, key=_key(settings))
    return asyncio.run(ask_here(settings, question, sys.stdout, sys.stderr))


def _key(settings: Settings) -> str | None:
    """What a running server is shown."""
    keys = [*settings.api_key, *settings.admin_key]
    return keys[0].get_secret_value() if keys else None


def _models(given: argparse.Namespace) -> int:
    from qwen_webui.checkpoints import Library
    from qwen_webui.memory import machine_memory, usual_forecast

    settings = read_settings(vars(given))
    library = Library(
        settings.data_dir / "models",
        hub=settings.hub,
        endpoint=settings.hub_endpoint,
        offline=True,
    )
    machine = machine_memory(settings.device)
    print(f"{machine.device_name}: {machine.free / 2**30:.1f} GiB free")
    print(f"{'name':<40} {'files GiB':>9} {'needs GiB':>9}  fits  on disk  licence")
    for spec in library.all():
        need = usual_forecast(spec, machine, settings.max_context)
        print(
            f"{spec.name:<40} {spec.weights_bytes / 2**30:>9.2f} {need.needed / 2**30:>9.2f}  "
            f"{_yes(need.fits):<4}  {_yes(spec.folder is not None):<7}  {spec.licence}"
        )
    return 0


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _quantize(given: argparse.Namespace) -> int:
    from qwen_webui.quantize import QuantizeRequest, quantize

    request = QuantizeRequest(
        source=given.source,
        to=given.to,
        out=given.out,
        calibration=given.calibration,
        samples=given.samples,
        group_size=given.group_size,
    )
    print(f"Written: {quantize(request, print)}")
    return 0


def _fidelity(given: argparse.Namespace) -> int:
    from qwen_webui.command_fidelity import FidelityQuestion, measure_here

    question = FidelityQuestion(
        precisions=tuple(dict.fromkeys(given.precisions)) if given.precisions else None,
        also=tuple(given.also),
        text=given.text,
        tokens=given.tokens,
        tasks=given.tasks,
        top=given.top,
        out=given.out,
        as_json=given.json,
    )
    settings = read_settings(vars(given))
    return asyncio.run(measure_here(settings, question, sys.stdout, sys.stderr))


def _delete_all(given: argparse.Namespace) -> int:
    from qwen_webui.stored import delete_everything, list_stored

    settings: Settings = read_settings(vars(given))
    stored = list_stored(settings.data_dir)
    if not stored:
        print(f"Nothing is stored in {settings.data_dir}.")
        return 0
    for part in stored:
        print(f"{part.bytes / 2**20:>10.1f} MiB  {part.name}: {part.holds}")
    if not given.yes and not _agreed(f"Delete all of this in {settings.data_dir}? [y/N] "):
        print("Nothing was deleted.")
        return 1
    delete_everything(settings.data_dir)
    print("Deleted.")
    return 0


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:  # nobody is there to ask
        print()
        return False


_RUN = {
    "serve": _serve,
    "chat": _chat,
    "ask": _ask,
    "models": _models,
    "quantize": _quantize,
    "fidelity": _fidelity,
    "delete-all": _delete_all,
}
_FLAGS = {
    "serve": add_flags,
    "chat": _chat_flags,
    "ask": _ask_flags,
    "models": _models_flags,
    "quantize": _quantize_flags,
    "fidelity": _fidelity_flags,
    "delete-all": _delete_flags,
}
