"""The flags of every command, and what --help says of them. Runs nothing; that is cli.py."""

from __future__ import annotations

import argparse
from pathlib import Path

from qwen_webui import __version__
from qwen_webui.settings import add_flags
from qwen_webui.types import PRECISIONS, USES, Precision

COMMANDS = (
    *("serve", "chat", "ask", "models", "advise", "bench", "fidelity"),
    *("quantize", "delete-all"),
)
USAGE = """\
  qwen-webui [serve] [flags]     open the page and the API (the default)
  qwen-webui chat TEXT           answer on the command line
  qwen-webui ask FILE... TEXT    answer from documents, with checked citations
  qwen-webui models              every checkpoint, its size and whether it fits here
  qwen-webui advise              which size and precision for this machine, and why
  qwen-webui quantize SOURCE     make a GPTQ or AWQ checkpoint from an unquantised one
  qwen-webui bench               how fast each precision is, measured on this machine
  qwen-webui fidelity            what each precision loses, measured on this machine
  qwen-webui delete-all          delete everything this program has stored
"""


def parser_of(command: str) -> argparse.ArgumentParser:
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


def _advise_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--context", type=int, help="tokens of context (--max-context, or 8192)")
    parser.add_argument("--use", choices=USES, default="chat", help="what it is for (chat)")
    parser.add_argument(
        "--memory", type=float, help="GiB of each card of a machine that is only named"
    )
    parser.add_argument("--cards", type=int, help="how many cards it has; 0: none (1)")
    parser.add_argument("--card", default="", help='their name, e.g. "RTX 4090", for the speed')
    parser.add_argument("--language", choices=("en", "zh"), help="of the sentences (en)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_flags(parser, only=("device", "max_context", "data_dir", "hub", "offline"))


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


def _bench_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precisions",
        nargs="+",
        type=_precisions,
        default=None,
        metavar="NAME,...",
        help=f"of the model: {', '.join(PRECISIONS)}; without, all that the catalogue has of it",
    )
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="CHECKPOINT",
        help="another checkpoint, by name or folder; may be given more than once",
    )
    parser.add_argument(
        "--inputs",
        type=_numbers,
        metavar="TOKENS,...",
        help="lengths of the inputs (1,6144,14336,30720; on a CPU 1,512,1536)",
    )
    parser.add_argument("--outputs", type=int, help="tokens of each answer (2048; on a CPU 128)")
    parser.add_argument("--repeat", type=int, default=3, help="answers of each kind (3)")
    parser.add_argument(
        "--concurrency",
        type=_numbers,
        default=(1, 4, 8),
        metavar="COUNT,...",
        help="how many ask at once (1,4,8); more than one with the shortest input",
    )
    parser.add_argument("--out", type=Path, help="folder for the report; default the data folder")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    add_flags(
        parser,
        only=("model", "device", "dtype", "engine_path", "hub", "hub_endpoint", "offline",
              "stall_seconds", "data_dir"),
    )  # fmt: skip


def _numbers(text: str) -> tuple[int, ...]:
    """Of a list with commas."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no list of whole numbers; expected is, for example, 1,512"
        ) from None


def _precisions(text: str) -> tuple[Precision, ...]:
    """Of a list with commas."""
    found = []
    for name in text.split(","):
        known = next((one for one in PRECISIONS if one == name.strip()), None)
        if known is None:
            raise argparse.ArgumentTypeError(
                f"{name!r} is no precision; there are {', '.join(PRECISIONS)}"
            )
        found.append(known)
    return tuple(found)


def _delete_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_flags(parser, only=("data_dir",))


_FLAGS = {
    "serve": add_flags,
    "chat": _chat_flags,
    "ask": _ask_flags,
    "models": _models_flags,
    "advise": _advise_flags,
    "quantize": _quantize_flags,
    "bench": _bench_flags,
    "fidelity": _fidelity_flags,
    "delete-all": _delete_flags,
}
