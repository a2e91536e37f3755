"""Answers of a given form: JSON Schemas, regular expressions, choices and tool calls.

Checks what people ask for (fails closed), turns it into a grammar, and checks finished answers.
Choosing tokens by a grammar is the engine's work.
"""

from qwen_webui.errors import SchemaRefused
from qwen_webui.structured.grammars import grammar, instruction, schema_of
from qwen_webui.structured.infer import infer_schema
from qwen_webui.structured.service import Structured
from qwen_webui.structured.values import Prepared, Problem

__all__ = [
    "Prepared",
    "Problem",
    "SchemaRefused",
    "Structured",
    "grammar",
    "infer_schema",
    "instruction",
    "schema_of",
]
