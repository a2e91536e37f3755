"""The files of documents: a folder each, made under another name and put in place when complete.

Blocking, for threads; raises StoreError for what the machine does. Which document a folder is of,
and who may have it, is the business of documents.py.

    <id>/original       the file as it was uploaded; none for pasted text
    <id>/text.json      what was read of it
    incoming-<random>/  one on its way, locked while the program that makes it runs
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import secrets
import shutil
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qwen_webui.errors import NotFound, StoreError

ORIGINAL = "original"
TEXT = "text.json"
_INCOMING = "incoming-"
_ID = re.compile(r"[0-9a-f]{32}")
_FULL = (errno.ENOSPC, errno.EDQUOT)

log = logging.getLogger(__name__)


class Incoming:
    """A folder on its way, with `size` bytes in it. Of use until it was put in place or
    thrown away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.size = 0
        self._lock = -1
        try:
            with disk_errors():
                folder.mkdir(mode=0o700)
                # Held while the folder is in use: the kernel drops it with a process that dies.
                self._lock = os.open(folder, os.O_RDONLY)
                fcntl.flock(self._lock, fcntl.LOCK_EX)
                os.close(_new(self.original))
        except BaseException:
            self.discard()
            raise

    @property
    def original(self) -> Path:
        """The file as it was received."""
        return self.folder / ORIGINAL

    def append(self, data: bytes) -> None:
        """Add to the original. To a folder that was thrown away meanwhile nothing comes back."""
        with disk_errors():
            # Opened anew each time, without O_CREAT: a thread whose upload was cancelled neither
            # writes to a number that is another file's by now, nor makes the file again.
            _write(os.open(self.original, os.O_WRONLY | os.O_APPEND), data)
        self.size += len(data)

    def finish(self, text: bytes, *, original: bool) -> None:
        """Write the text; from here on a loss of power loses nothing."""
        with disk_errors():
            if original:
                _write(os.open(self.original, os.O_WRONLY | os.O_APPEND), b"", sync=True)
            else:
                self.original.unlink()
            _write(_new(self.folder / TEXT), text, sync=True)
            self.size += len(text)
            os.fsync(self._lock)

    def unlock(self) -> None:
        """The folder is in place, or gone. Twice is harmless."""
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def discard(self) -> None:
        """Throw it away. Twice, or after it was put in place, is harmless."""
        _remove(self.folder)
        self.unlock()


class Folders:
    """The folders of all documents, below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._making = threading.Lock()

    def begin(self) -> Incoming:
        """A new folder on its way."""
        with disk_errors():
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._making:
            return Incoming(self.root / f"{_INCOMING}{secrets.token_hex(8)}")

    def place(self, incoming: Incoming, id: str) -> None:
        """Make it the folder of document `id`."""
        with disk_errors():
            os.rename(incoming.folder, self.root / id)

    def original(self, id: str) -> Path:
        """The file as it was uploaded."""
        return self.root / id / ORIGINAL

    def size(self, ids: Iterable[str]) -> int:
        """Bytes of the files of these documents, and of what was read of them."""
        return sum(_size(self.root / id / name) for id in ids for name in (ORIGINAL, TEXT))

    def text(self, id: str) -> bytes:
        """What was read of it. Raises NotFound when the document was deleted meanwhile."""
        try:
            return (self.root / id / TEXT).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise missing() from error
        except OSError as error:
            raise _translated(error) from error

    def write_text(self, id: str, text: bytes) -> Path:
        """Write another text beside the present one. Raises NotFound when the document is gone."""
        fresh = self.root / id / f"{TEXT}.{secrets.token_hex(4)}"
        try:
            number = _new(fresh)
        except FileNotFoundError as error:
            raise missing() from error
        except OSError as error:
            raise _translated(error) from error
        try:
            with disk_errors():
                _write(number, text, sync=True)
        except BaseException:
            self.drop_text(fresh)
            raise
        return fresh

    def put_text(self, fresh: Path) -> None:
        """Put it in the place of the present one."""
        with disk_errors():
            os.replace(fresh, fresh.with_name(TEXT))

    def drop_text(self, fresh: Path) -> None:
        """Delete it unless it was put in its place."""
        with disk_errors():
            fresh.unlink(missing_ok=True)

    def remove(self, ids: Iterable[str]) -> None:
        """Delete the folders of these documents. What cannot be deleted now is swept later."""
        for id in ids:
            _remove(self.root / id)

    def orphans(self, known: Collection[str]) -> list[Path]:
        """Folders of documents that are not known."""
        return [path for path in self._entries() if _is_id(path) and path.name not in known]

    def sweep(self, orphans: Iterable[Path]) -> None:
        """Delete them, and what programs that ended left on its way."""
        for path in orphans:
            _remove(path)
        # Between its making and its locking a folder looks abandoned.
        with self._making:
            for path in filter(_abandoned, self._entries()):
                _remove(path)

    def _entries(self) -> list[Path]:
        try:
            return [path for path in self.root.iterdir() if path.is_dir()]
        except FileNotFoundError:
            return []


def missing() -> NotFound:
    """The one answer for a document that is not there, or not the owner's."""
    return NotFound("There is no such document; it may have been deleted.", param="id")


@contextmanager
def disk_errors() -> Iterator[None]:
    """Raise StoreError for OSError."""
    try:
        yield
    except OSError as error:
        raise _translated(error) from error


def _translated(error: OSError) -> StoreError:
    if error.errno in _FULL:
        return StoreError(
            "The disk with the data folder is full, so the document was not kept. Free some space "
            "or choose another folder with --data-dir, then try again."
        )
    return StoreError(
        f"The folder with the uploaded documents cannot be used ({error.strerror}). Check the "
        "data folder's rights and its disk, or choose another with --data-dir."
    )


def _new(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _write(number: int, data: bytes, *, sync: bool = False) -> None:
    """Write all of `data` to an open file, and close it."""
    with os.fdopen(number, "wb", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        if sync:
            os.fsync(file.fileno())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # pasted, or deleted meanwhile


def _is_id(path: Path) -> bool:
    return _ID.fullmatch(path.name) is not None


def _abandoned(path: Path) -> bool:
    """Whether nobody is at work on a folder on its way."""
    if not path.name.startswith(_INCOMING):
        return False
    try:
        lock = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False  # put in place, or thrown away, meanwhile
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("a folder of an upload could not be deleted (%s)", error.strerror)
