"""Examples of requests and streams for the description. Every one is sent by a test."""

from __future__ import annotations

from typing import Any

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city today",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
HELLO = [{"role": "user", "content": "Say hello."}]

CHAT: dict[str, dict[str, Any]] = {
    "A question": {"messages": HELLO, "max_completion_tokens": 64},
    "A stream with its token counts": {
        "messages": HELLO,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 64,
    },
    "JSON of a schema": {
        "messages": [{"role": "user", "content": "Ada is 36."}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "p", "schema": SCHEMA}},
    },
    "Tools": {
        "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
        "tools": [WEATHER],
    },
    "The result of a tool": {
        "messages": [
            {"role": "user", "content": "What is the weather in Paris?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city": "Paris"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "Sunny, 21 degrees"},
        ],
        "tools": [WEATHER],
    },
}
CHAT_EVENTS = """\
data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"demo-fp16",\
"system_fingerprint":"fp_0","choices":[{"index":0,"delta":{"role":"assistant","content":""},\
"logprobs":null,"finish_reason":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"demo-fp16",\
"system_fingerprint":"fp_0","choices":[{"index":0,"delta":{"content":"Hello"},\
"logprobs":null,"finish_reason":null}]}

data: [DONE]

"""
TEXT: dict[str, dict[str, Any]] = {
    "Go on with a text": {"prompt": "Once upon a time", "max_tokens": 32},
    "Several texts": {"prompt": ["One, two,", "Red, green,"], "max_tokens": 8},
    "Score a text": {"prompt": "The sky is blue.", "max_tokens": 0, "echo": True, "logprobs": 0},
}
TEXT_EVENTS = """\
data: {"id":"cmpl-1","object":"text_completion","created":1,"model":"demo-fp16",\
"system_fingerprint":"fp_0","choices":[{"index":0,"text":" there","logprobs":null,\
"finish_reason":null}]}

data: [DONE]

"""
