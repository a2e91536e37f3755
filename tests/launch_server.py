"""Runs the server as a command does, with the scripted engine: PORT DATA FOLDER [name=value...].

The values are the script's (`delay`, `count` of words) and the settings'. `real=1` takes the
engine's own process instead of the scripted one.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from qwen_webui.engines.scripted import Script, ScriptedLoader
from qwen_webui.errors import WebUIError
from qwen_webui.server import serve
from qwen_webui.settings import Settings


def main(port: str, data: str, folder: str, *pairs: str) -> int:
    values = dict(pair.split("=", 1) for pair in pairs)
    words = tuple(f"w{n}" for n in range(int(values.pop("count", "5"))))
    script = Script(words=words, delay=float(values.pop("delay", "0")))
    loader = None if values.pop("real", "") else ScriptedLoader(script)
    settings = Settings(
        **{"offline": True, "device": "cpu"} | values,
        port=int(port),
        data_dir=Path(data),
        model=folder,
    )
    try:
        return asyncio.run(serve(settings, loader))
    except WebUIError as error:
        print(error.message, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
