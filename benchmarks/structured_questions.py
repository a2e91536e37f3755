"""What benchmarks/structured.py asks: fixed questions, the schema of each answer, and an answer.

Of forms that people ask for: patterns, formats, lists of records, a choice, anything at all. What
is measured with them is the benchmark's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Question:
    """`answer` is a valid one, followed token by token where no model answers."""

    name: str
    text: str
    schema: dict[str, Any]
    answer: Any


LINE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "quantity": {"type": "integer", "minimum": 1},
        "price": {"type": "number", "minimum": 0},
    },
    "required": ["name", "quantity", "price"],
}
QUESTIONS: tuple[Question, ...] = (
    Question(
        "registration",
        "Register Bob with the address bob@example.org.",
        {
            "type": "object",
            "properties": {
                "username": {"type": "string", "minLength": 3},
                "email": {"type": "string", "format": "email"},
                "password": {"type": "string", "minLength": 8},
            },
            "required": ["username", "email"],
        },
        {"username": "Bob Miller", "email": "bob@example.org", "password": "correct horse"},
    ),
    Question(
        "invoice",
        "Write an invoice for two lamps at 15.50 each.",
        {
            "type": "object",
            "properties": {
                "number": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"},
                "date": {"type": "string", "format": "date"},
                "lines": {"type": "array", "items": LINE, "minItems": 1},
                "paid": {"type": "boolean"},
            },
            "required": ["number", "date", "lines", "paid"],
        },
        {
            "number": "AB-1234",
            "date": "2026-03-14",
            "lines": [{"name": "lamp", "quantity": 2, "price": 15.5}] * 4,
            "paid": False,
        },
    ),
    Question(
        "event",
        "The meeting is on 5 May at nine in Oslo, with Ann and Li.",
        {
            "type": "object",
            "properties": {
                "title": {"type": "string"},
                "start": {"type": "string", "format": "date-time"},
                "place": {"type": "string"},
                "people": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
            },
            "required": ["title", "start", "people"],
        },
        {
            "title": 'Meeting about the garden, with 敏捷的棕色狐狸 and "quotes"',
            "start": "2026-05-05T09:00:00Z",
            "place": "Oslo",
            "people": ["Ann", "Li"],
        },
    ),
    Question(
        "choice of kind",
        "Is a lamp furniture, food or a tool?",
        {
            "type": "object",
            "properties": {"kind": {"enum": ["furniture", "food", "tool"]}},
            "required": ["kind"],
            "additionalProperties": False,
        },
        {"kind": "furniture"},
    ),
    Question(
        "any object",
        "Describe yourself.",
        {"type": "object"},
        {"name": "Ceten", "notes": {"of": [1, 2.5, None, True], "text": "A short text. " * 12}},
    ),
)
