"""Every command. A command's module is imported inside that command, so `--help` stays quick.

The one place in the program where imports inside functions are right.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from qwen_webui.command_flags import COMMANDS, parser_of
from qwen_webui.errors import WebUIError
from qwen_webui.settings import Settings, read_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the process's exit code (0, 1 for a named error, 2 for usage)."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = words.pop(0) if words and words[0] in COMMANDS else "serve"
    parser = parser_of(command)
    # Files and a question may stand around the flags.
    parse = parser.parse_intermixed_args if command == "ask" else parser.parse_args
    given = parse(words)
    try:
        code = int(_RUN[command](given))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read the output has what they wanted (`| head`). What is still buffered goes
        # nowhere, so that the interpreter does not fail on it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except WebUIError as error:
        print(f"qwen-webui: {error.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


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


def _advise(given: argparse.Namespace) -> int:
    from qwen_webui.command_advise import Question, advise_here

    question = Question(
        use=given.use,
        context=given.context,
        memory=given.memory,
        cards=given.cards,
        card=given.card,
        language=given.language or "en",
        as_json=given.json,
    )
    return advise_here(read_settings(vars(given)), question, sys.stdout)


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


def _bench(given: argparse.Namespace) -> int:
    from qwen_webui.command_bench import BenchQuestion, measure_here

    named = [name for part in given.precisions or () for name in part]
    question = BenchQuestion(
        precisions=tuple(dict.fromkeys(named)) or None,
        also=tuple(given.also),
        inputs=given.inputs,
        outputs=given.outputs,
        repeat=given.repeat,
        concurrency=given.concurrency,
        out=given.out,
        as_json=given.json,
    )
    settings = read_settings(vars(given))
    return asyncio.run(measure_here(settings, question, sys.stdout, sys.stderr))


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
    "advise": _advise,
    "quantize": _quantize,
    "bench": _bench,
    "fidelity": _fidelity,
    "delete-all": _delete_all,
}
