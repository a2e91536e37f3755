"""Every answer under a constraint is valid and whole, whatever the model would rather say."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from llguidance import LLParserLimits

from qwen_webui.engines import compiled
from qwen_webui.engines.cancelling import Cancelled, Ticket
from qwen_webui.engines.paths import AnyModel, load_model
from qwen_webui.engines.process import ProcessLoader
from qwen_webui.errors import GenerationFailed, InvalidRequest
from qwen_webui.structured import grammar
from qwen_webui.structured.alphabet import Alphabet
from qwen_webui.structured.closing import QUICK, needed_tokens, shortest
from qwen_webui.structured.hints import hints
from qwen_webui.structured.validating import check
from qwen_webui.structured.vocabulary import read_vocabulary
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import PRECISIONS, Constraint, EnginePath, GenerationEvent
from tests.engines.asking import Reply, first_delta, reply, request
from tests.engines.checkpoints import plan

DEMO = Path(__file__).parents[2] / "qwen_webui" / "demo"
CONTEXT = 2048
ADDRESS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer"},
        "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
    },
    "required": ["value", "next"],
    "additionalProperties": False,
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "registration": {
        "type": "object",
        "properties": {
            "username": {"type": "string", "minLength": 3},
            "email": {"type": "string", "format": "email"},
            "password": {"type": "string", "minLength": 8},
        },
        "required": ["username", "email"],
    },
    "anything": {},
    "any object": {"type": "object"},
    "strings": {"type": "array", "items": {"type": "string"}, "minItems": 2},
    "numbers": {"type": "array", "items": {"type": "number", "minimum": -5, "maximum": 1e6}},
    "multiples": {"type": "array", "items": {"type": "integer", "multipleOf": 7, "minimum": 100}},
    "enumeration": {"enum": ["alpha", "beta", {"x": [1, 2]}, None]},
    "pattern": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}(xyz|q)$"},
    "uuid": {"type": "object", "properties": {"id": {"type": "string", "format": "uuid"}}},
    "dates": {
        "type": "object",
        "properties": {"at": {"type": "string", "format": "date-time"}, "note": {"type": "string"}},
        "required": ["at"],
    },
    "nested": {
        "type": "object",
        "properties": {"home": ADDRESS, "others": {"type": "array", "items": ADDRESS}},
        "required": ["home"],
    },
    "linked list": {"$defs": {"node": NODE}, "$ref": "#/$defs/node"},
    "string": {"type": "string", "minLength": 5},
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city"],
            },
        },
    }
]
CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)
FREE = {"temperature": 1.0, "max_new_tokens": 40}


def schema(value: dict[str, Any]) -> Constraint:
    return Constraint("json_schema", json.dumps(value))


def tools(choice: str = "auto", *, parallel: bool = True) -> Constraint:
    return Constraint("tools", json.dumps({"tools": TOOLS, "choice": choice, "parallel": parallel}))


def loaded(precision: str, path: EnginePath = "auto") -> AnyModel:
    folder = DEMO / f"demo-{precision}"
    return load_model(plan(folder, max_context=CONTEXT, engine_path=path), lambda _: None)


@pytest.fixture(scope="module")
def model() -> Iterator[AnyModel]:
    found = loaded("fp16")
    yield found
    found.unload()


@pytest.fixture(scope="module")
def alphabet() -> Alphabet:
    return Alphabet(read_vocabulary(DEMO / "demo-fp16"))


@pytest.fixture(scope="module")
def ids() -> ChatTokenizer:
    return ChatTokenizer.load(DEMO / "demo-fp16")


def answer(model: AnyModel, text: str = "Register Bob, bob@example.org.", **f: Any) -> Reply:
    said: list[GenerationEvent] = []
    model.generate(request(text, **f), Ticket(), said.append)
    return Reply(tuple(said))


def valid(model: AnyModel, constraint: Constraint, **fields: Any) -> Reply:
    """An answer that was found to be whole and valid."""
    found = answer(model, constraint=constraint, **fields)
    check(constraint, found.text)
    assert found.reason == "stop"
    assert len(found.ids) <= fields["max_new_tokens"]
    assert found.usage.completion_tokens == len(found.ids)
    return found


@pytest.mark.parametrize("name", SCHEMAS)
def test_answers_are_valid_at_every_budget(model: AnyModel, alphabet: Alphabet, name: str) -> None:
    constraint = schema(SCHEMAS[name])
    needed = needed_tokens(grammar(constraint), alphabet)
    assert needed is not None
    for seed, more in enumerate((0, 1, 2, 7, 30)):
        valid(model, constraint, temperature=1.5, seed=seed, max_new_tokens=needed + more)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_budget_that_is_too_small_is_refused_with_the_one_that_is_needed(
    model: AnyModel, alphabet: Alphabet, name: str
) -> None:
    constraint = schema(SCHEMAS[name])
    needed = needed_tokens(grammar(constraint), alphabet)
    assert needed
    if needed == 1:
        return
    with pytest.raises(InvalidRequest, match=f"takes {needed} tokens") as refused:
        answer(model, constraint=constraint, max_new_tokens=needed - 1)
    assert (refused.value.code, refused.value.param) == ("budget_too_small", "max_new_tokens")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "path"),
    [*((precision, "ours") for precision in PRECISIONS), ("fp16", "reference")],
)
def test_every_precision_is_always_valid(precision: str, path: EnginePath) -> None:
    found = loaded(precision, path)
    try:
        for seed, value in enumerate(SCHEMAS.values()):
            budget = 90 if seed % 2 else 50
            valid(found, schema(value), temperature=1.0, seed=seed, max_new_tokens=budget)
    finally:
        found.unload()


@pytest.mark.parametrize("name", ["anything", "any object", "strings", "linked list", "nested"])
@pytest.mark.parametrize("loved", [" ", "[", "{", "\\", "a", ",", "1"])
def test_a_model_that_loves_one_token_still_ends(
    model: AnyModel, ids: ChatTokenizer, name: str, loved: str
) -> None:
    bias = tuple((token, 90.0) for token in ids.encode(loved))
    stops = tuple((token, -90.0) for token in ids.stop_ids)
    found = valid(
        model, schema(SCHEMAS[name]), logit_bias=bias + stops, max_new_tokens=50, temperature=0.0
    )
    assert len(found.ids) < 50 or found.finished.closed


def test_half_a_character_is_made_whole(model: AnyModel, ids: ChatTokenizer) -> None:
    half = next(t for t in range(ids.vocabulary) if ids.token_bytes(t) == "🦊".encode()[:1])
    bias = ((half, 90.0),)
    for budget in range(4, 12):
        valid(model, schema({"type": "string"}), logit_bias=bias, max_new_tokens=budget)


def test_closed_says_that_the_budget_ended_it(model: AnyModel) -> None:
    constraint = schema(SCHEMAS["strings"])
    never = tuple((stop, -90.0) for stop in model.info.stop_ids)
    assert valid(model, constraint, logit_bias=never, max_new_tokens=12).finished.closed
    yes = Constraint("choice", '["yes", "no"]')
    assert not valid(model, yes, max_new_tokens=20).finished.closed


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint("choice", '["yes", "no", "perhaps", "狐狸"]'),
        Constraint("regex", r"\d{3}-[a-z]{2,5}"),
        Constraint("regex", r"(Bob|Alice) said: .*!"),
        Constraint("json_object"),
    ],
)
def test_other_kinds_are_kept_to(model: AnyModel, constraint: Constraint) -> None:
    for seed in range(5):
        valid(model, constraint, temperature=1.5, seed=seed, max_new_tokens=25)


def test_a_required_call_is_whole_at_every_budget(model: AnyModel, alphabet: Alphabet) -> None:
    needed = needed_tokens(grammar(tools("required")), alphabet)
    assert needed
    for parallel in (True, False):
        for budget in (needed, needed + 3, needed + 30):
            constraint = tools("get_weather", parallel=parallel)
            found = answer(model, constraint=constraint, **(FREE | {"max_new_tokens": budget}))
            calls = CALL.findall(found.text)
            assert calls and CALL.sub("", found.text).strip() == ""
            for call in map(json.loads, calls):
                assert call["name"] == "get_weather" and "city" in call["arguments"]
    with pytest.raises(InvalidRequest, match=str(needed)):
        answer(model, constraint=tools("required"), max_new_tokens=needed - 1)


def test_free_text_is_cut_but_a_call_begun_is_finished(model: AnyModel, ids: ChatTokenizer) -> None:
    opening = ids.encode_prompt("<tool_call>")[0]
    plain = answer(model, constraint=tools(), max_new_tokens=5, logit_bias=((opening, -90.0),))
    assert (plain.reason, plain.finished.closed, len(plain.ids)) == ("length", False, 5)
    assert "<tool_call>" not in plain.text
    bias = ((opening, 90.0),)
    for budget in (40, 45, 60):
        found = answer(model, constraint=tools(), logit_bias=bias, max_new_tokens=budget)
        assert found.reason == "stop" and len(found.ids) <= budget
        assert found.text.startswith("<tool_call>\n") and found.text.endswith("</tool_call>")
        assert all(json.loads(call)["name"] for call in CALL.findall(found.text))
    none = answer(model, constraint=tools(), logit_bias=bias, max_new_tokens=6)
    assert "<tool_call>" not in none.text and none.reason == "length"


def test_top_k_counts_allowed_tokens_only(model: AnyModel) -> None:
    constraint = Constraint("choice", '["alpha", "beta", "gamma"]')
    fields: dict[str, Any] = {"temperature": 50.0, "constraint": constraint}
    hot = {answer(model, seed=s, **fields).text for s in range(30)}
    assert len(hot) == 3
    for narrow in ({"top_k": 1}, {"top_p": 0.0}, {"min_p": 1.0}):
        assert len({answer(model, seed=s, **fields, **narrow).text for s in range(6)}) == 1


def test_bias_penalties_and_seed_work_under_a_mask(model: AnyModel, ids: ChatTokenizer) -> None:
    constraint = Constraint("choice", '["alpha", "beta", "gamma"]')
    for text in ("alpha", "beta", "gamma"):
        bias = ((ids.encode(text)[0], 95.0),)
        assert answer(model, constraint=constraint, logit_bias=bias).text == text
    fields: dict[str, Any] = {"constraint": schema(SCHEMAS["strings"]), **FREE}
    assert answer(model, seed=3, **fields).ids == answer(model, seed=3, **fields).ids
    assert answer(model, seed=3, **fields).ids != answer(model, seed=4, **fields).ids
    letters = Constraint("regex", "[a-h]{8}")
    spelled = answer(model, constraint=letters, presence_penalty=1000.0)
    assert len(set(spelled.ids)) == len(spelled.ids) > 1


def test_logprobs_stay_the_models_own(model: AnyModel) -> None:
    free = answer(model, max_new_tokens=1, logprobs=3).logprobs[0]
    held = answer(
        model, max_new_tokens=3, logprobs=3, constraint=Constraint("regex", "[0-9]{3}")
    ).logprobs
    assert held[0].top == free.top
    assert len(held) == 3 and all(found.logprob <= 0 for found in held)


def test_requests_beside_each_other_do_not_disturb(model: AnyModel) -> None:
    asked: list[dict[str, Any]] = [
        {"constraint": schema(SCHEMAS["registration"]), "seed": 1, **FREE},
        {"constraint": schema(SCHEMAS["registration"]), "seed": 2, **FREE},
        {"seed": 3, **FREE},
    ]
    alone = [answer(model, **fields).ids for fields in asked]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda fields: answer(model, **fields).ids, asked))
    assert together == alone


def test_a_matcher_that_gives_up_costs_its_request_only(
    model: AnyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hard = Constraint("regex", "[ab]*a[ab]{12}c")
    tight = LLParserLimits(max_lexer_states=150, verbose_errors=False)
    with monkeypatch.context() as patch:
        patch.setattr(compiled, "limits", lambda: tight)
        with pytest.raises(GenerationFailed) as failed:
            for seed in range(8):
                answer(model, constraint=hard, seed=seed, temperature=5.0, max_new_tokens=200)
        assert failed.value.code == "constraint_failed"
        valid(model, schema(SCHEMAS["strings"]), max_new_tokens=20)
    valid(model, hard, temperature=5.0, seed=1, max_new_tokens=60)


def test_compiled_grammars_are_kept_bounded(
    model: AnyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    whole = compiled.checked

    def counted(constraint: Constraint, vocabulary: Any) -> str:
        made.append(constraint)
        return whole(constraint, vocabulary)

    monkeypatch.setattr(compiled, "checked", counted)
    monkeypatch.setattr(compiled, "MOST_KEPT", 2)
    one, two, three = (Constraint("choice", f'["a{n}", "b{n}"]') for n in range(3))
    for constraint in (one, one, two, one, three, two, one):
        valid(model, constraint, max_new_tokens=5)
    assert made == [one, two, three, two, one]


def test_cancel_stops_a_constrained_answer(model: AnyModel) -> None:
    ticket, seen = Ticket(), []

    def emit(event: GenerationEvent) -> None:
        seen.append(event)
        if len(seen) == 5:
            ticket.cancel()

    endless = tuple((stop, -90.0) for stop in model.info.stop_ids)
    asked = request(constraint=Constraint("json_object"), max_new_tokens=1500, logit_bias=endless)
    with pytest.raises(Cancelled):
        model.generate(asked, ticket, emit)
    assert len(seen) <= 6
    valid(model, Constraint("json_object"), max_new_tokens=10)


async def test_a_constraint_crosses_the_pipe() -> None:
    loader = ProcessLoader(stall_seconds=60)
    try:
        engine = await loader.load(plan(DEMO / "demo-fp16", max_context=CONTEXT), lambda _: None)
        constraint = schema(SCHEMAS["registration"])
        asked = request(constraint=constraint, max_new_tokens=60)
        async with aclosing(engine.stream(asked)) as events:
            await first_delta(events)
        found, free = await asyncio.gather(
            reply(engine, asked), reply(engine, request(max_new_tokens=30))
        )
        check(constraint, found.text)
        assert found.reason == "stop" and free.text
        with pytest.raises(InvalidRequest) as refused:
            await reply(engine, request(constraint=constraint, max_new_tokens=3))
        assert refused.value.code == "budget_too_small"
    finally:
        await loader.close()


@pytest.mark.parametrize(
    "begun",
    ['{"username": "B', '{"username": "Bob\\', '{"username": "Bob", "email": "a.', '{"user', ""],
)
def test_an_end_is_found_from_the_middle(alphabet: Alphabet, begun: str) -> None:
    constraint = schema(SCHEMAS["registration"])
    state = alphabet.matcher(grammar(constraint))
    assert state.consume_tokens(list(begun.encode()))
    for effort in (0, 20_000):
        end = shortest(state, alphabet, effort=effort)
        assert end is not None
        check(constraint, begun + bytes(end).decode())
        said = begun + ChatTokenizer.load(DEMO / "demo-fp16").decode(alphabet.tokens(end))
        check(constraint, said)


@pytest.mark.parametrize(
    ("pattern", "least"),
    [
        (r"^[\w.-]+@[\w.-]+\.\w{2,}$", "a@a.aa"),
        (r"^\S+@\S+$", "a@a"),
        (r"^.*foo$", "foo"),
        (r"^SELECT .* FROM .*;$", "SELECT  FROM ;"),
        (r"^[^@]+@[^@]+\.(org|de)$", "a@a.de"),
    ],
)
def test_an_end_is_found_where_all_is_allowed_before_and_after_what_leads_to_it(
    alphabet: Alphabet, pattern: str, least: str
) -> None:
    whole = Constraint("regex", pattern)
    assert bytes(
        shortest(alphabet.matcher(grammar(whole)), alphabet, hints=hints(whole)) or ()
    ) == (least.encode())
    inside = schema({"type": "array", "items": {"pattern": pattern, "type": "string"}})
    state = alphabet.matcher(grammar(inside))
    begun = f'["{least}", "'
    for written in (begun, begun + least[:-3]):
        after = state.deep_copy()
        assert after.consume_tokens(list(written.encode()))
        end = shortest(after, alphabet, QUICK, 0, hints(inside))
        assert end is not None
        check(inside, written + bytes(end).decode())


def test_where_no_end_is_found_the_search_gives_up_soon(alphabet: Alphabet) -> None:
    before = time.monotonic()
    assert shortest(alphabet.matcher(grammar(Constraint("regex", ".*foo"))), alphabet) is None
    assert time.monotonic() - before < 5  # it was a minute while branches copied their paths


@pytest.mark.parametrize(
    ("value", "least"),
    [
        ({"enum": ["alphabet", "beta"]}, '"beta"'),
        ({"type": "string", "minLength": 300}, '"' + "a" * 300 + '"'),
        ({"type": "array", "items": {"type": "null"}, "minItems": 2}, "[null, null]"),
        ({"$defs": {"node": NODE}, "$ref": "#/$defs/node"}, '{"value": 0, "next": null}'),
        ({"type": "object"}, "{}"),
    ],
)
def test_the_shortest_answer(alphabet: Alphabet, value: dict[str, Any], least: str) -> None:
    state = alphabet.matcher(grammar(schema(value)))
    assert bytes(shortest(state, alphabet) or ()).decode() == least
