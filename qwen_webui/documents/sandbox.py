"""Walls around the process that reads: memory, processor time, no written file, no network.

Called once, by that process, before it looks at the file. What the system does not offer is left
out; the limits of time are the parent's.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

from qwen_webui.documents.values import Limits

_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000
_CLONE_NEWUSER = 0x10000000
_OPEN_FILES = 256


def end_with_parent(parent: int = 0) -> None:
    """Have the kernel end this process with its parent. `parent` is who it should be."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent and os.getppid() != parent:
        os._exit(1)


def wall_in(limits: Limits) -> None:
    """Limit this process and its children for good."""
    os.nice(5)
    _lower(resource.RLIMIT_AS, limits.memory_bytes)
    _lower(resource.RLIMIT_CPU, limits.cpu_seconds)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        # A network namespace of its own has no way out. Containers often refuse to make one.
        if libc.unshare(_CLONE_NEWNET) != 0:
            libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def _lower(what: int, wanted: int) -> None:
    _, hard = resource.getrlimit(what)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(what, (limit, limit))
