"""Hostile and broken constraints: refused in two seconds, by name and place, and nobody waits."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from qwen_webui.errors import GenerationFailed, Overloaded
from qwen_webui.structured import SchemaRefused, Structured, service
from qwen_webui.types import Constraint
from tests.structured.walks import DEMO, json_schema
from tests.test_server import SLACK

SECONDS = 2.0


def nested(depth: int, inner: Any, around: Callable[[Any], Any]) -> Any:
    for _ in range(depth):
        inner = around(inner)
    return inner


def text(value: str) -> Constraint:
    return Constraint("json_schema", value)


# Each with the place and a word of the sentence.
HOSTILE: dict[str, tuple[Constraint, str, str]] = {
    "not JSON": (text('{"type": '), "#", "line 1"),
    "empty": (text(""), "#", "JSON"),
    "a list": (text("[]"), "#", "object"),
    "true": (text("true"), "#", "object"),
    "NaN": (text('{"minimum": NaN}'), "#", "NaN"),
    "a name twice": (text('{"type": "null", "type": "null"}'), "#", '"type"'),
    "half a surrogate": (text('{"title": "\\ud800"}'), "#", "surrogate"),
    "a raw half surrogate": (text('{"title": "\ud800"}'), "#", "surrogate"),
    "no number of 15 digits between": (
        json_schema(
            {
                "type": "number",
                "exclusiveMinimum": -3.14159265358979,
                "exclusiveMaximum": -3.14159265358978,
            }
        ),
        "#",
        "no answer",
    ),
    "a huge number": (text('{"minimum": ' + "9" * 5000 + "}"), "#", "too large"),
    "10 MB": (text('{"enum": ["' + "x" * 10_000_000 + '"]}'), "#", "characters"),
    "lists 10,000 deep": (text("[" * 10_000 + "]" * 10_000), "#/0", "nested deeper"),
    "schemas 10,000 deep": (
        text('{"items":' * 10_000 + "{}" + "}" * 10_000),
        "#/items/items",
        "`items`",
    ),
    "schemas 100 deep": (
        json_schema(nested(100, {}, lambda x: {"items": x})),
        "#/items/items",
        "`items`",
    ),
    "100,000 brackets": (text('{"a": [' + "[]," * 100_000 + "1]}"), "#/a", "`a`"),
    "enum of 100,000": (
        json_schema({"properties": {"a": {"enum": list(range(100_000))}}}),
        "#/properties/a/enum",
        "`enum`",
    ),
    "50,000 schemas": (json_schema({"anyOf": [{}] * 50_000}), "#/anyOf", "parts"),
    "15,000 properties": (
        json_schema({"properties": {f"p{n}": {} for n in range(15_000)}}),
        "#/properties",
        "`properties`",
    ),
    "remote $ref": (json_schema({"$ref": "http://example.org/a"}), "#/$ref", "fetched"),
    "$ref without end": (json_schema({"$ref": "#"}), "#/$ref", "`$ref`"),
    "$refs in a circle": (
        json_schema(
            {
                "$ref": "#/$defs/a",
                "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
            }
        ),
        "#",
        "`$ref`",
    ),
    "many items of many": (
        json_schema(
            nested(4, {"type": "null"}, lambda x: {"type": "array", "minItems": 1000, "items": x})
        ),
        "#/minItems",
        "#/minItems",
    ),
    "minItems of a million": (
        json_schema({"type": "array", "minItems": 10**6}),
        "#/minItems",
        "`minItems`",
    ),
    "all of any": (
        json_schema(
            {"allOf": [{"anyOf": [{"required": [f"{a}{b}"]} for b in range(9)]} for a in range(9)]}
        ),
        "#",
        "as a whole",
    ),
    "ReDoS": (
        json_schema({"properties": {"a": {"pattern": "^(a+)+$"}}}),
        "#/properties/a/pattern",
        "`pattern`",
    ),
    "ReDoS of alternatives": (json_schema({"pattern": r"^(\w|\d\d?)*$"}), "#/pattern", "`pattern`"),
    "a huge automaton": (
        json_schema({"type": "string", "pattern": "^(a{1,10000}b){10000}$"}),
        "#/pattern",
        "`pattern`",
    ),
    "not a regular expression": (
        json_schema({"pattern": "("}),
        "#/pattern",
        "not a regular expression",
    ),
    "look-ahead": (json_schema({"pattern": "(?=a)"}), "#/pattern", "look-ahead"),
    "back-reference": (json_schema({"pattern": r"(a)\1"}), "#/pattern", "back-reference"),
    "nothing fits": (
        json_schema(
            {
                "type": "object",
                "properties": {"a": {"type": "string", "pattern": "^a$", "minLength": 2}},
                "required": ["a"],
            }
        ),
        "#/properties/a",
        "no answer",
    ),
    "nothing fits both": (
        json_schema({"allOf": [{"type": "string"}, {"type": "null"}]}),
        "#",
        "The schema as a whole cannot be held: no answer can satisfy it",
    ),
    "regex, ReDoS": (Constraint("regex", "(x+x+)+y"), "#", "many ways"),
    "regex, broken": (Constraint("regex", "["), "#", "not a regular expression"),
    "regex, long": (Constraint("regex", "a" * 100_000), "#", "characters"),
    "choices, none": (Constraint("choice", "[]"), "#", "list"),
    "choices, 100,000": (
        Constraint("choice", json.dumps([str(n) for n in range(100_000)])),
        "#",
        "100,000",
    ),
    "tools, none": (Constraint("tools", '{"tools": []}'), "tools", "tools"),
    "tools, unknown choice": (
        Constraint("tools", '{"tools": [{"function": {"name": "f"}}], "choice": "g"}'),
        "tool_choice",
        "No tool is named g",
    ),
    "tools, parameters": (
        Constraint(
            "tools",
            '{"tools": [{"function": {"name": "f", "parameters": {"not": {}}}}]}',
        ),
        "tools/0/function/parameters/not",
        "`not`",
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def structured() -> AsyncIterator[Structured]:
    made = Structured()
    await made.prepare(json_schema({"type": "null"}), DEMO)
    yield made
    await made.close()


async def ready(structured: Structured) -> None:
    """A process that has read the vocabulary: neither belongs to a job's time."""
    await structured.prepare(json_schema({"$comment": str(time.monotonic())}), DEMO)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", HOSTILE)
async def test_it_is_refused_in_time_while_the_loop_runs_on(
    structured: Structured, name: str
) -> None:
    constraint, place, word = HOSTILE[name]
    await ready(structured)
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            longest = max(longest, time.perf_counter() - before)

    ticker = asyncio.create_task(tick())
    began = time.perf_counter()
    with pytest.raises(SchemaRefused) as caught:
        await structured.prepare(constraint, DEMO)
    seconds = time.perf_counter() - began
    ticker.cancel()
    assert seconds < SECONDS * SLACK
    assert longest < 0.1 * SLACK
    assert caught.value.status == 422
    assert caught.value.code in ("schema_invalid", "schema_unsupported", "schema_too_large")
    assert (caught.value.param or "").startswith(place)
    assert word in caught.value.message
    assert not caught.value.message.endswith("at #.")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_good_schema_is_prepared_after_all_that(structured: Structured) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    prepared = await structured.prepare(json_schema(schema), DEMO)
    assert prepared.needed_tokens is not None and 3 <= prepared.needed_tokens <= 8
    assert (await structured.prepare(json_schema(schema), None)).needed_tokens is None


async def test_a_remote_reference_opens_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        structured = Structured()
        for schema in (
            {"$ref": address},
            {"$schema": address},
            {"$id": address, "$ref": "other.json"},
            {"type": "object", "properties": {"a": {"$ref": f"{address}#/x"}}},
        ):
            with pytest.raises(SchemaRefused):
                await structured.prepare(json_schema(schema), None)
            assert await structured.inspect(json.dumps(schema))
        await structured.close()
        with pytest.raises(TimeoutError):
            server.accept()


async def test_a_job_that_hangs_is_killed_and_the_next_one_answered() -> None:
    structured = Structured()
    await structured.prepare(json_schema({}), None)
    first = structured.checker_pid
    assert first is not None
    # A loop in `re` that no thread could be stopped in; the walk would refuse it, so it is asked
    # of the check alone.
    constraint = Constraint("regex", "(a|b|ab)*c")
    began = time.monotonic()
    with pytest.raises(GenerationFailed, match="in time") as caught:
        await structured.check(constraint, "ab" * 40)
    assert caught.value.code == "invalid_output"
    assert time.monotonic() - began < SECONDS * SLACK
    await structured.check(Constraint("choice", '["a"]'), "a")
    assert structured.checker_pid not in (None, first)
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    await structured.close()


async def test_a_killed_process_is_replaced() -> None:
    structured = Structured()
    await structured.prepare(json_schema({}), None)
    assert structured.checker_pid is not None
    os.kill(structured.checker_pid, signal.SIGKILL)
    with pytest.raises(SchemaRefused):
        await structured.prepare(json_schema({"not": {}}), None)
    await structured.close()
    await structured.close()
    assert structured.checker_pid is None


async def test_an_asker_who_leaves_does_not_cost_the_process() -> None:
    structured = Structured()
    await structured.prepare(json_schema({}), None)
    pid = structured.checker_pid
    asking = asyncio.create_task(
        structured.prepare(json_schema({"enum": ["x" * 900 + str(n) for n in range(1900)]}), None)
    )
    await asyncio.sleep(0.02)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await structured.check(Constraint("choice", '["a"]'), "a")
    assert structured.checker_pid == pid
    await structured.close()


async def test_a_line_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_WAITING", 3)
    structured = Structured()
    schemas = [json_schema({"const": number}) for number in range(6)]
    found = await asyncio.gather(
        *(structured.prepare(schema, None) for schema in schemas), return_exceptions=True
    )
    assert sum(isinstance(item, Overloaded) for item in found) == 3
    await structured.close()


async def test_verdicts_are_kept_within_bounds_and_nothing_on_disk() -> None:
    structured = Structured()
    await structured.prepare(json_schema({}), None)
    pid = structured.checker_pid
    wrote = _written(pid)
    began = time.perf_counter()
    early = late = 0
    for number in range(1_200):
        schema = {
            "type": "object",
            "properties": {f"p{number}": {"type": "string", "pattern": f"^{number}a*$"}},
        }
        await structured.prepare(json_schema(schema), None)
        if number in (200, 1_199):
            early, late = late, _resident(pid)
    assert structured.kept <= service.KEPT_VERDICTS
    assert late - early < 50 * 2**20
    assert time.perf_counter() - began < 60
    assert _written(pid) == wrote
    # The same schema again costs nothing.
    again = time.perf_counter()
    await structured.prepare(json_schema(schema), None)
    assert time.perf_counter() - again < 0.01 * SLACK
    await structured.close()


def _resident(pid: int | None) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _written(pid: int | None) -> int:
    """Bytes that the process caused to be written to a disk."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes")))


async def test_inspect_tells_everything_and_never_raises() -> None:
    structured = Structured()
    told = await structured.inspect('{"properties": {"a": {"not": {}, "typ": 1}}, "if": {}}')
    assert [(p.place, p.code) for p in told] == [
        ("#/if", "schema_unsupported"),
        ("#/properties/a/not", "schema_unsupported"),
        ("#/properties/a/typ", "schema_unsupported"),
    ]
    assert await structured.inspect('{"type": "string"}') == ()
    for bad in ("", "{", "[", "\ud800", "x" * 3_000_000, '{"type": "string", "pattern": "("}'):
        (problem,) = await structured.inspect(bad)
        assert problem.place.startswith("#") and problem.sentence.endswith(".")
    (problem,) = await structured.inspect('{"allOf": [{"type": "string"}, {"type": "null"}]}')
    assert "no answer" in problem.sentence
    await structured.close()


async def test_close_ends_the_process() -> None:
    structured = Structured()
    await structured.prepare(json_schema({}), None)
    pid = structured.checker_pid
    assert pid is not None
    await structured.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_process_ends_when_nobody_can_ask_it_any_more() -> None:
    command = [sys.executable, "-m", "qwen_webui.structured.checker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        process.stdin.close()
        assert process.wait(2 * SLACK) == 0
