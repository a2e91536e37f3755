"""The tables, their versions, and what is checked before a file is used.

`user_version` in the file says which version it is. A file of an older version is copied beside
itself and then brought forward in one transaction; a newer, foreign or damaged one is refused and
left as it is. No conversation is read or written here.

    1  conversations and messages
    2  + how an answer came about (precision, usage, stopped, finish_reason)
       + `search`: the text folded for searching. A plain column, not FTS5: its trigrams find no
         word of two characters, and it keeps deleted text in its index.
    3  + runs of the JSON tab
    4  + documents, and what an answer read of them and quotes (sources, citations)
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from qwen_webui.errors import StoreError
from qwen_webui.store.connection import connect, translated

# "QWUI" in ASCII: tells our file from another program's.
APPLICATION_ID = 0x51575549


def _version_1(db: sqlite3.Connection) -> None:
    db.execute(
        "CREATE TABLE conversations (id TEXT PRIMARY KEY, owner TEXT NOT NULL,"
        " title TEXT NOT NULL, persona TEXT, created REAL NOT NULL, updated REAL NOT NULL)"
    )
    db.execute("CREATE INDEX conversations_by_owner ON conversations (owner, updated)")
    db.execute(
        "CREATE TABLE messages (conversation TEXT NOT NULL REFERENCES conversations"
        " ON DELETE CASCADE, position INTEGER NOT NULL, role TEXT NOT NULL,"
        " content TEXT NOT NULL, persona TEXT, model TEXT, created REAL NOT NULL,"
        " UNIQUE (conversation, position))"
    )


def _version_2(db: sqlite3.Connection) -> None:
    for column in (
        "precision TEXT",
        "usage TEXT",
        "stopped INTEGER NOT NULL DEFAULT 0",
        "finish_reason TEXT",
        "search TEXT NOT NULL DEFAULT ''",
    ):
        db.execute(f"ALTER TABLE messages ADD COLUMN {column}")
    db.execute("UPDATE messages SET search = fold(content)")
    db.execute("ALTER TABLE conversations ADD COLUMN search TEXT NOT NULL DEFAULT ''")
    db.execute("UPDATE conversations SET search = fold(title)")


def _version_3(db: sqlite3.Connection) -> None:
    db.execute(
        "CREATE TABLE runs (id TEXT PRIMARY KEY, owner TEXT NOT NULL, title TEXT NOT NULL,"
        " prompt TEXT NOT NULL, schema TEXT NOT NULL, max_new_tokens INTEGER,"
        " answer TEXT NOT NULL, outcome TEXT NOT NULL, closed INTEGER NOT NULL,"
        " error TEXT NOT NULL, model TEXT, precision TEXT, usage TEXT, created REAL NOT NULL)"
    )
    db.execute("CREATE INDEX runs_by_owner ON runs (owner, created)")


def _version_4(db: sqlite3.Connection) -> None:
    db.execute(
        "CREATE TABLE documents (id TEXT PRIMARY KEY, owner TEXT NOT NULL,"
        " conversation TEXT REFERENCES conversations ON DELETE CASCADE, name TEXT NOT NULL,"
        " kind TEXT NOT NULL, unit TEXT NOT NULL, pages INTEGER NOT NULL, bytes INTEGER NOT NULL,"
        " created REAL NOT NULL, expires REAL, to_recognise TEXT NOT NULL,"
        " original INTEGER NOT NULL, revision INTEGER NOT NULL)"
    )
    db.execute("CREATE INDEX documents_by_owner ON documents (owner, conversation, created)")
    # Deleting a conversation looks for its documents.
    db.execute("CREATE INDEX documents_by_conversation ON documents (conversation)")
    for table, column in (("messages", "sources"), ("messages", "citations"), ("runs", "sources")):
        db.execute(f"ALTER TABLE {table} ADD COLUMN {column} TEXT")


# The step at index n brings version n to n + 1.
STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    *(_version_1, _version_2),
    *(_version_3, _version_4),
)
VERSION = len(STEPS)


def prepare(path: Path) -> None:
    """Make `path` a file of the current version, or raise StoreError and leave it as it is."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives -wal and -shm the mode of the main file.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise StoreError(
            f"The file with the conversations cannot be written: {error.strerror}."
            " Check the data folder's rights and free space, or choose another with --data-dir."
        ) from error
    with translated():
        version = _inspect(path)
        if 0 < version < VERSION:
            _keep_copy(path, version)
        with closing(connect(path)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            if version < VERSION:
                _migrate(db)


def copies(path: Path) -> list[Path]:
    """The copies that migrations of `path` left beside it."""
    return sorted(path.parent.glob(f"{path.name}.version-*"))


def _inspect(path: Path) -> int:
    """The version of a sound file of ours, 0 for an empty one. Only reads."""
    if path.stat().st_size == 0:
        return 0
    with closing(connect(path, mode="ro")) as db:
        owner = _pragma(db, "application_id")
        version = _pragma(db, "user_version")
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if owner == 0 and version == 0 and tables == 0:
            return 0  # begun by an earlier start that was cut off
        if owner != APPLICATION_ID:
            raise StoreError(
                f"{path.name} in the data folder is another program's database and was left as it"
                " is. Move it away, or choose another folder with --data-dir."
            )
        if version > VERSION:
            raise StoreError(
                f"{path.name} was written by a newer version of this program (its format is"
                f" {version}, this program knows up to {VERSION}) and was left as it is. Start the"
                " newer program, or choose another folder with --data-dir."
            )
        damage = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise _damaged(path)
    return version


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"{path.name} in the data folder is damaged and was left as it is."
        " Move it away to begin anew, or put a good copy in its place."
    )


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def _keep_copy(path: Path, version: int) -> None:
    """Copy with what is still in the write-ahead log; complete, or not there at all."""
    copy = path.with_name(f"{path.name}.version-{version}")
    partial = path.with_name(f"{path.name}.copying")
    try:
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT, 0o600))
        with closing(connect(path, mode="ro")) as old, closing(connect(partial)) as new:
            old.backup(new)
            new.execute("PRAGMA journal_mode = DELETE")
        os.replace(partial, copy)
    except OSError as error:
        raise StoreError(
            f"No copy of {path.name} could be made before bringing it to the new format"
            f" ({error.strerror}), so it was left as it is. Free some space in the data folder."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _migrate(db: sqlite3.Connection) -> None:
    with db:
        db.execute("BEGIN IMMEDIATE")
        # Asked again under the lock: another process may have done it meanwhile.
        for step in STEPS[_pragma(db, "user_version") :]:
            step(db)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
