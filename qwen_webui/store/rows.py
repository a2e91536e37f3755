"""The SQL: what each operation reads and writes, on a connection it is given.

Every function takes the owner, and another owner's conversation is missing exactly as one that
never was. Threads, files and transactions are the callers' business.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Sequence

from qwen_webui.errors import InvalidRequest, NotFound
from qwen_webui.store.reading import citations_of, citations_text, sources_of, sources_text
from qwen_webui.store.text import fold, storable, title_from
from qwen_webui.store.values import Conversation, ConversationEntry, StoredMessage
from qwen_webui.types import Usage

# A search is a few words; more of them only costs time.
SEARCH_LENGTH = 200
# A conversation without a title yet is called like its first document, if it has one.
_ENTRY = (
    "SELECT id, coalesce(nullif(title, ''), (SELECT name FROM documents d"
    " WHERE d.conversation = c.id ORDER BY d.created, d.rowid LIMIT 1), ''), persona, created,"
    " updated, (SELECT count(*) FROM messages WHERE conversation = c.id) FROM conversations c"
)


def insert(
    db: sqlite3.Connection, owner: str, id: str, title: str, persona: str | None, now: float
) -> None:
    """Begin a conversation."""
    db.execute(
        "INSERT INTO conversations (id, owner, title, persona, created, updated, search)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (id, owner, title, persona, now, now, fold(title)),
    )


def entries(db: sqlite3.Connection, owner: str, search: str) -> tuple[ConversationEntry, ...]:
    """The owner's conversations, latest first; with `search`, those that hold every word of it in
    the title, the text or the names of their documents."""
    words = fold(storable(search[:SEARCH_LENGTH])).split()
    # instr, not LIKE: nothing to escape, and one Chinese character is a word like any other.
    condition = (
        " AND (instr(c.search, ?)"
        " OR EXISTS (SELECT 1 FROM messages m"
        " WHERE m.conversation = c.id AND instr(m.search, ?))"
        " OR EXISTS (SELECT 1 FROM documents d"
        " WHERE d.conversation = c.id AND instr(fold(d.name), ?)))"
    )
    rows = db.execute(
        f"{_ENTRY} WHERE owner = ?{condition * len(words)} ORDER BY updated DESC, rowid DESC",
        (owner, *(word for word in words for _ in range(3))),
    )
    return tuple(ConversationEntry(*row) for row in rows)


def entry(db: sqlite3.Connection, owner: str, id: str) -> ConversationEntry:
    """One line of the list. Raises NotFound."""
    row = db.execute(f"{_ENTRY} WHERE id = ? AND owner = ?", (storable(id), owner)).fetchone()
    if row is None:
        raise NotFound("There is no such conversation; it may have been deleted.", param="id")
    return ConversationEntry(*row)


def conversation(db: sqlite3.Connection, owner: str, id: str) -> Conversation:
    """All of one conversation. Raises NotFound."""
    head = entry(db, owner, id)
    rows = db.execute(
        "SELECT role, content, persona, model, precision, usage, stopped, finish_reason, created,"
        " sources, citations FROM messages WHERE conversation = ? ORDER BY position",
        (head.id,),
    )
    messages = tuple(_message(row) for row in rows)
    return Conversation(head.id, head.title, head.persona, head.created, head.updated, messages)


def _message(row: Sequence[object]) -> StoredMessage:
    role, content, persona, model, precision, usage, stopped, reason, created, *about = row
    return StoredMessage(
        role=role,  # type: ignore[arg-type]  # SQLite's values have no static type
        content=content,  # type: ignore[arg-type]
        persona=persona,  # type: ignore[arg-type]
        model=model,  # type: ignore[arg-type]
        precision=precision,  # type: ignore[arg-type]
        usage=Usage(**json.loads(str(usage))) if usage else None,
        stopped=bool(stopped),
        finish_reason=reason,  # type: ignore[arg-type]
        created=created,  # type: ignore[arg-type]
        sources=sources_of(about[0]),
        citations=citations_of(about[1]),
    )


def append(
    db: sqlite3.Connection, owner: str, id: str, messages: Sequence[StoredMessage], now: float
) -> ConversationEntry:
    """Add messages at the end; an untitled conversation is titled by its first question."""
    head = entry(db, owner, id)
    untitled = _untitled(db, head.id)
    for position, message in enumerate(messages, start=head.messages):
        content = storable(message.content)
        usage = json.dumps(dataclasses.asdict(message.usage)) if message.usage else None
        db.execute(
            "INSERT INTO messages (conversation, position, role, content, persona, model,"
            " precision, usage, stopped, finish_reason, created, search, sources, citations)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(head.id, position, message.role, content, message.persona, message.model),
                *(message.precision, usage, message.stopped, message.finish_reason),
                *(message.created or now, fold(content)),
                *(sources_text(message.sources), citations_text(message.citations)),
            ),
        )
        if untitled and message.role == "user":
            title = title_from(content)
            retitle(db, owner, id, title)
            untitled = not title
    db.execute("UPDATE conversations SET updated = ? WHERE id = ?", (now, head.id))
    return entry(db, owner, id)


def _untitled(db: sqlite3.Connection, id: str) -> bool:
    row = db.execute("SELECT title FROM conversations WHERE id = ?", (id,)).fetchone()
    return not row[0]


def retitle(db: sqlite3.Connection, owner: str, id: str, title: str) -> None:
    """Give another title. Raises NotFound."""
    head = entry(db, owner, id)
    db.execute(
        "UPDATE conversations SET title = ?, search = ? WHERE id = ?", (title, fold(title), head.id)
    )


def check_keep(db: sqlite3.Connection, owner: str, id: str, keep: int) -> None:
    """Raise unless `keep` messages are there to keep."""
    head = entry(db, owner, id)
    if not 0 <= keep <= head.messages:
        raise InvalidRequest(
            f"The conversation has {head.messages} messages, so {keep} of them cannot be kept."
            " Load it again: it was changed elsewhere.",
            param="keep",
        )
