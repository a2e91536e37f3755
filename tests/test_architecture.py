"""The house keeps its shape: imports point one way, and torch stays in the worker."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "qwen_webui"

# Left imports nothing to its right. Names are modules or folders of the package.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("types", "errors"),
    (
        "limits",
        "extras",
        "setting_kinds",
        "settings",
        "stored",
        "logs",
        "checkpoints",
        "cards",
        "memory",
        "tokens",
        "personas",
        "examples",
        "language",
        "store",
        "structured",
        "documents",
    ),
    ("engines",),
    ("models",),
    ("chat",),
    ("quantize",),
    ("advice", "measure"),
    ("comparison",),
    ("services",),
    ("api", "ui"),
    ("server",),
    ("command_chat",),
    ("command_ask", "command_bench", "command_fidelity", "command_advise"),
    ("command_flags",),
    ("cli",),
)
# What runs in the worker process. worker.py imports the second by name after a first sign of life:
# torch takes seconds, and the parent must see meanwhile that the process lives. The third is the
# reference path, the others are loaders by device, each imported by name where it is wanted.
WORKER = (
    "engines.worker",
    "engines.serving",
    "engines.transformers",
    "engines.decode.cpu",
    "engines.decode.cuda.loading",
)
HEAVY = ("torch", "transformers", "gptqmodel", "optimum", "accelerate")
WEB_ONLY = ("gradio", "fastapi", "pydantic")


def modules() -> dict[str, Path]:
    """Every module of the package by dotted name inside it, `engines.base` for example."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(p for p in parts if p != "__init__")] = path
    return found


def imports(path: Path) -> set[str]:
    """Absolute names imported anywhere in the file, with `from a import b` as `a.b` and `a`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import; write the whole name"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def layer(name: str) -> int:
    """Where the top-level room of a module stands in LAYERS."""
    top = name.split(".")[0]
    for place, rooms in enumerate(LAYERS):
        if top in rooms:
            return place
    raise AssertionError(f"{top} has no place in LAYERS; give it one, here and in docs/design.md")


def internal(path: Path) -> set[str]:
    """Modules of the package that a file imports; `from a import b` counts as b if b is one."""
    known = modules()
    names = {n.removeprefix("qwen_webui.") for n in imports(path) if n.startswith("qwen_webui.")}
    found = {n for n in names if n in known}
    return {n for n in found if not any(m.startswith(n + ".") and m in names for m in found)}


@pytest.mark.parametrize("name", [n for n in modules() if n])
def test_imports_point_left(name: str) -> None:
    for target in internal(modules()[name]):
        same_room = target.split(".")[0] == name.split(".")[0]
        assert same_room or layer(target) < layer(name) or peers(name, target), (
            f"{name} imports {target}, which stands to its right"
        )


def peers(name: str, target: str) -> bool:
    """Modules of one layer may share each other, except the two front ends."""
    return layer(name) == layer(target) and {name.split(".")[0], target.split(".")[0]} != {
        "api",
        "ui",
    }


def test_no_import_cycles() -> None:
    graph = {name: internal(path) - {name} for name, path in modules().items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, "import cycle: " + " -> ".join((*trail, name))
        if name not in done:
            for target in graph[name]:
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def worker_only() -> set[str]:
    """Modules of engines/ that load a model: reached from WORKER and from nowhere else."""
    known = modules()
    reached: set[str] = set()
    open_names = list(WORKER)
    while open_names:
        name = open_names.pop()
        if name in reached or not name.startswith("engines."):
            continue
        reached.add(name)
        open_names += internal(known[name])
    outside = {
        target for name, path in known.items() if name not in reached for target in internal(path)
    }
    return reached - outside


def test_only_the_worker_and_quantize_load_torch() -> None:
    allowed = worker_only()
    for name, path in modules().items():
        if name in allowed or name.split(".")[0] == "quantize":
            continue
        heavy = {n for n in imports(path) if n.split(".")[0] in HEAVY}
        assert not heavy, f"{name} imports {sorted(heavy)}; only the worker and quantize may"


def test_the_worker_loads_no_web_library() -> None:
    known = modules()
    reached: set[str] = set()
    open_names = list(WORKER)
    while open_names:
        name = open_names.pop()
        if name not in reached:
            reached.add(name)
            open_names += internal(known[name])
    for name in reached:
        web = {n for n in imports(known[name]) if n.split(".")[0] in WEB_ONLY}
        assert not web, f"{name} runs in the worker and imports {sorted(web)}"


LOADED = """
import sys, pathlib
{action}
maps = pathlib.Path("/proc/self/maps")
text = maps.read_text() if maps.exists() else ""
print([n for n in {heavy!r} if n in sys.modules], "libtorch" in text)
"""


@pytest.mark.parametrize(
    "action",
    [
        "import qwen_webui.server",
        "import qwen_webui.ui.page, qwen_webui.api.routes",
        "import contextlib, io, qwen_webui.cli as c\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    c.main(['--help'])",
    ],
)
def test_the_web_process_does_not_load_torch(action: str) -> None:
    code = LOADED.format(action=action, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[] False", done.stdout + done.stderr


def test_rooms_stay_small() -> None:
    too_long = {
        name: lines
        for name, path in modules().items()
        if (lines := path.read_text(encoding="utf-8").count("\n")) > 300
    }
    assert not too_long, f"modules over 300 lines: {too_long}"
