"""Writes the parts of the READMEs that are taken from the code: checkpoint table and file tree.

    python scripts/readme.py            rewrite them
    python scripts/readme.py --check    exit 1 if they are out of date (tests/test_readme.py)

A file's line is the first sentence of its docstring, so the tree cannot say anything else.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

from qwen_webui.checkpoints import catalogue
from qwen_webui.types import CheckpointSpec

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "README.zh-CN.md")
SHOWN = ("app.py", "qwen_webui", "demo_training", "benchmarks", "scripts")
LINES = {
    "personas/": "one TOML a role preset: name, description, system message, examples (en, zh)",
    "qwen_webui/demo/": "the embedded checkpoint in four precisions, and its held-out tasks",
    "tests/": "mirrors the package; enters by the front door",
    "docs/": "design, log of what was tried, images",
    "constraints.txt": "the versions that were tried together",
}


def checkpoint_table() -> str:
    """Sizes by precisions, in GiB of files, with licence and hub repository."""
    rows: dict[str, list[CheckpointSpec]] = {}
    for spec in catalogue():
        if spec.family == "qwen2.5":
            rows.setdefault(spec.size, []).append(spec)
    lines = [
        "| | fp16 | gptq-int8 | gptq-int4 | awq-int4 | repository | licence |",
        "|---|---|---|---|---|---|---|",
    ]
    for size, specs in rows.items():
        sizes = " | ".join(f"{spec.weights_bytes / 2**30:.1f} GiB" for spec in specs)
        lines.append(f"| {size} | {sizes} | `{specs[0].hub_id}` | {specs[0].licence} |")
    return "\n".join(lines)


def first_sentence(path: Path) -> str:
    """Of a Python file's docstring, or of a shell script's first comment."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        said = ast.get_docstring(ast.parse(text)) or ""
        # A module that runs by itself explains its use after the first paragraph.
        said = said.split("\n\n")[0].replace("\n", " ")
    else:
        said = " ".join(line[2:] for line in text.splitlines()[1:] if line.startswith("# "))
    return re.split(r"(?<=[.;]) ", said.strip())[0].rstrip(".;:")


def tracked(folder: str) -> list[Path]:
    """Source files that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    paths = [ROOT / name for name in listed if name]
    return sorted(
        {p for p in paths if p.exists() and (p.suffix == ".py" or p.parent.name == "scripts")}
    )


def file_tree() -> str:
    """One line a file; a package stands as its folder, with what its `__init__` says."""
    entries = dict(LINES)
    for shown in SHOWN:
        for path in tracked(shown):
            name = path.relative_to(ROOT).as_posix().removesuffix("__init__.py")
            entries[name] = first_sentence(path)
    lines = ["```"]
    for name in sorted(entries, key=lambda n: [(part, 0) for part in n.split("/")]):
        depth = name.rstrip("/").count("/")
        shown = "  " * depth + name.rstrip("/").split("/")[-1] + ("/" if name.endswith("/") else "")
        lines.append(f"{shown:<28} {entries[name]}".rstrip())
    return "\n".join([*lines, "```"])


def rewritten(text: str) -> str:
    """`text` with every marked part made anew."""
    for mark, part in (("checkpoints", checkpoint_table()), ("files", file_tree())):
        pattern = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
        text = pattern.sub(lambda m, part=part: f"{m[1]}{part}\n{m[2]}", text)  # type: ignore[misc]
    return text


def main() -> int:
    stale = []
    for name in READMES:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        if rewritten(text) != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(rewritten(text), encoding="utf-8")
    if "--check" in sys.argv and stale:
        print(f"{', '.join(stale)} out of date: run python scripts/readme.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
