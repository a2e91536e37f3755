"""No name twice in one object."""

from __future__ import annotations

import pytest
import torch

from qwen_webui.engines.compiled import Grammars
from qwen_webui.engines.constraint import Guide
from qwen_webui.structured import grammar
from qwen_webui.structured.alphabet import Alphabet
from qwen_webui.structured.closing import fresh_end
from qwen_webui.structured.names import Names
from qwen_webui.structured.reading import read_strict
from qwen_webui.structured.vocabulary import byte_vocabulary
from qwen_webui.types import Constraint
from tests.structured.walks import DEMO, json_schema

OPEN = grammar(Constraint("json_object"))


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ('{"a": 1, "b": {"a": 1}, "c": [{"a": 1}, {"a": 1}]}', True),
        ('{"a": 1, "a', True),
        ('{"a": 1, "a"', False),
        ('{"a": {"b": 1, "b"', False),
        ('[{"a": 1}, {"x": "a", "y": "a", "x"', False),
        ('{"a\\"": 1, "a\\\\": 2, "a": "{\\"a\\": 1", "b": "a"}', True),
        ('{"a": [1, "a", "a"], "b": "a"}', True),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_names_are_followed(text: str, allowed: bool, size: int) -> None:
    names = Names("json_schema", OPEN)
    pieces = [text.encode()[i : i + size] for i in range(0, len(text.encode()), size)]
    for piece in pieces[:-1]:
        assert names.allows(piece)
        names.take(piece)
    assert names.allows(pieces[-1]) == allowed


def test_only_inside_a_call_and_not_in_texts_of_other_kinds() -> None:
    names = Names("tools", OPEN)
    names.take(b'see {"a": 1, "a": 2} <tool_call>\n{"name": "f", "arguments": {"a": 1, ')
    assert not names.allows(b'"a"')
    names.take(b'"b": 2}}\n</tool_call>\n<tool_call>\n{"name": "f", "arguments": {')
    assert names.allows(b'"a"')
    closed = {"type": "object", "properties": {"a": {"type": "null"}}}
    given = Names("json_schema", grammar(json_schema(closed)))
    assert given.allows(b'{"a": 1, "a": 2}')  # never asked: the grammar itself forbids it
    assert Names("regex", OPEN).allows(b'{"a": 1, "a": 2}')


@pytest.mark.parametrize("begun", ["", '{"a": 1, ', '{"": 1, "', '{"": 1, "a": 2, "a'])
def test_an_end_writes_no_name_twice(begun: str) -> None:
    alphabet = Alphabet(byte_vocabulary())
    text = grammar(json_schema({"type": "object", "minProperties": 4}))
    state = alphabet.matcher(text)
    assert state.consume_tokens(list(begun.encode()))
    names = Names("json_schema", text)
    names.take(begun.encode())
    end = fresh_end(state, alphabet, names)
    assert end is not None
    assert len(read_strict(begun + bytes(end).decode())) == 4


def test_the_engine_refuses_the_token_that_would_repeat_a_name() -> None:
    constraint = Constraint("json_object")
    grammars = Grammars(DEMO, 5_120)
    vocabulary, alphabet = grammars.vocabulary()
    with grammars.lent(constraint) as compiled:
        ends = tuple(vocabulary.eos_tokens)
        guide = Guide(compiled, alphabet, "json_object", ends, 60, torch.device("cpu"))
        for token in alphabet.spelled(list(b'{"a": 1, "a')):
            assert guide.take(token)
        (quote,) = alphabet.spelled(list(b'"'))
        assert not guide.take(quote)
        written = []
        while not guide.complete:
            written.append(guide.close())
    text = '{"a": 1, "a' + vocabulary.decode_bytes(written).decode()
    assert len(read_strict(text)) == 2
