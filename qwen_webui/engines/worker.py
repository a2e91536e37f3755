"""The engine worker: the child process that owns the device. Run as a module, never imported.

Gives signs of life from its first moment, reads the heavy libraries while it already does, and
ends when its parent does. serving.py does the rest.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import logging
import os
import signal
import socket
import sys
import threading

from qwen_webui.engines.wire import Beat, Pipe

BEAT_SECONDS = 1.0
PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process when the parent dies, even while a kernel computes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def beat(pipe: Pipe) -> None:
    """Tell the parent that this process lives, until the parent is gone."""
    pause = threading.Event()
    with contextlib.suppress(OSError):
        while not pause.wait(BEAT_SECONDS):
            pipe.send(Beat())


def main() -> None:
    """`python -m qwen_webui.engines.worker FILE_DESCRIPTOR PARENT_PROCESS`."""
    descriptor, parent = (int(argument) for argument in sys.argv[1:3])
    die_with_parent(parent)
    # Ctrl-C on the terminal goes to the whole group; the parent decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # It warns of kernels for other machines that nobody asked for.
    logging.getLogger("torchao").setLevel(logging.ERROR)
    pipe = Pipe(socket.socket(fileno=descriptor))
    threading.Thread(target=beat, args=(pipe,), name="beat", daemon=True).start()
    # Imported here, not above: torch takes seconds, and the parent must see this process live.
    serving = importlib.import_module("qwen_webui.engines.serving")
    serving.Worker(pipe).serve()
    # Threads may be deep in a computation; nobody wants its result any more.
    os._exit(0)


if __name__ == "__main__":
    main()
