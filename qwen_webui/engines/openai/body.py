"""A request in the words of OpenAI's API, and of the servers that know more than it.

Says what a server cannot be asked; sends nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qwen_webui.errors import InvalidRequest
from qwen_webui.types import Constraint, GenerationRequest, Message, Sampling

CHAT, TEXT = "/chat/completions", "/completions"
VLLM, LLAMA = "vllm", "llamacpp"
OURS = ("qwen", "qwen-webui")
# Values that change nothing: not sent to a server that may not know the field.
_OFF: Mapping[str, float] = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


def chat_body(
    model: str, owner: str, request: GenerationRequest, *, tokens: bool
) -> dict[str, Any]:
    """For /chat/completions. `owner` is who the model list names, which tells servers apart;
    with `tokens`, every token of the answer is told. Raises InvalidRequest."""
    body = _common(model, owner, request.sampling) | {"messages": _messages(request.messages)}
    constraint = request.sampling.constraint
    if request.tools:
        body |= _tools(request.tools, constraint)
    elif constraint is not None:
        body |= _form(constraint, owner)
    wanted = request.sampling.logprobs
    if wanted is not None or (tokens and not request.tools):
        body["logprobs"] = True
        if wanted:
            body["top_logprobs"] = wanted
    return body


def text_body(model: str, owner: str, request: GenerationRequest) -> dict[str, Any]:
    """For /completions, with the raw prompt. Raises InvalidRequest."""
    assert request.prompt is not None, "messages go to /chat/completions"
    prompt = request.prompt if isinstance(request.prompt, str) else list(request.prompt)
    body = _common(model, owner, request.sampling) | {"prompt": prompt}
    if request.sampling.constraint is not None:
        body |= _structured(request.sampling.constraint, owner)
    if request.sampling.logprobs is not None:
        body["logprobs"] = request.sampling.logprobs
    return body


def trial_body(model: str) -> dict[str, Any]:
    """For /chat/completions: the shortest answer there is."""
    return {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}


def score_body(model: str, token_ids: Sequence[int]) -> dict[str, Any]:
    """For /completions: the log-probabilities of a prompt's own tokens."""
    prompt = list(token_ids)
    return {"model": model, "prompt": prompt, "echo": True, "max_tokens": 0, "logprobs": 0}


def _common(model: str, owner: str, sampling: Sampling) -> dict[str, Any]:
    values: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "max_tokens": sampling.max_new_tokens,
        "logit_bias": {str(token): bias for token, bias in sampling.logit_bias} or None,
    }
    knows_more = owner in (VLLM, LLAMA, *OURS)
    for name, off in _OFF.items():
        value = getattr(sampling, name)
        if knows_more or value != off:
            renamed = name == "repetition_penalty" and owner == LLAMA
            values["repeat_penalty" if renamed else name] = value
    set_values = {name: value for name, value in values.items() if value is not None}
    return set_values | {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """As they are. Calls get ids, and results those of the calls before them, in their order."""
    told: list[dict[str, Any]] = []
    open_calls: list[str] = []
    for place, message in enumerate(messages):
        plain: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            open_calls = [f"call_{place}_{n}" for n in range(len(message.tool_calls))]
            plain["tool_calls"] = [
                {
                    "id": name,
                    "type": "function",
                    "function": {
                        "name": call.name,
                        "arguments": json.dumps(call.arguments, ensure_ascii=False),
                    },
                }
                for name, call in zip(open_calls, message.tool_calls, strict=True)
            ]
        elif message.role == "tool":
            plain["tool_call_id"] = open_calls.pop(0) if open_calls else f"call_{place}"
        told.append(plain)
    return told


def _tools(tools: Sequence[Mapping[str, Any]], constraint: Constraint | None) -> dict[str, Any]:
    body: dict[str, Any] = {"tools": [dict(tool) for tool in tools]}
    if constraint is None:
        return body
    value = json.loads(constraint.value)
    choice = value["choice"]
    if choice not in ("auto", "required"):
        choice = {"type": "function", "function": {"name": choice}}
    body["tool_choice"] = choice
    if not value["parallel"]:
        body["parallel_tool_calls"] = False
    return body


def _form(constraint: Constraint, owner: str) -> dict[str, Any]:
    """response_format where OpenAI's API has one."""
    if constraint.kind == "json_object":
        return {"response_format": {"type": "json_object"}}
    if constraint.kind == "json_schema":
        schema = {"name": "answer", "schema": json.loads(constraint.value), "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    return _structured(constraint, owner)


def _structured(constraint: Constraint, owner: str) -> dict[str, Any]:
    """vLLM's own field, which ours has too, for what OpenAI's API does not have."""
    if owner not in (VLLM, *OURS):
        raise InvalidRequest(
            "The server that computes takes JSON Schemas for answers to messages, but neither "
            "regular expressions, choices nor constrained raw prompts. Ask for JSON in a chat.",
            code="unsupported_parameter",
            param="constraint",
        )
    value: Any = constraint.value
    if constraint.kind != "regex":
        value = True if constraint.kind == "json_object" else json.loads(value)
    name = "json" if constraint.kind == "json_schema" else constraint.kind
    return {"structured_outputs": {name: value}}
