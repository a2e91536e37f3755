"""The steps of `qwen-webui quantize`, and the folder that appears only when all went well."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qwen_webui.errors import StoreError
from qwen_webui.quantize.calibration import samples
from qwen_webui.quantize.compress import compress
from qwen_webui.quantize.files import finish
from qwen_webui.quantize.quiet import only_ours
from qwen_webui.quantize.request import QuantizeRequest, checked
from qwen_webui.quantize.trial import try_out


def quantize(request: QuantizeRequest, report: Callable[[str], None]) -> Path:
    """Carry the request out and return the written folder.

    `report` gets a line at each step. On any error nothing is left at `out`.
    """
    begun = time.monotonic()
    source = checked(request)
    calibration = samples(source.folder, request.calibration, request.samples)
    tokens = sum(map(len, calibration))
    report(
        f"Quantising {source.layers} layers to {request.to}, {len(calibration)} calibration "
        f"samples of {tokens:,} tokens in all"
    )
    with _appearing(request.out) as folder, only_ours(report) as told:
        compress(source, request.to, request.group_size, calibration, folder, told)
        finish(folder, source.folder)
        told("Loading the result")
        trial = try_out(source.folder, folder, calibration[0])
    report(
        f"The same likeliest token as the source at {trial.agreeing} of {trial.tokens} places; "
        f"done after {time.monotonic() - begun:.0f} s"
    )
    return request.out


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out` that gets its name when the block ends well."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise StoreError(
            f"{out} cannot be written ({error.strerror}); name another place with --out."
        ) from error
    try:
        yield hidden
        hidden.chmod(0o755)
        hidden.rename(out)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
