"""What /openapi.json says of the routes of documents: texts, the form, examples."""

from __future__ import annotations

from typing import Any

from qwen_webui.api.described import Examples
from qwen_webui.api.documents.form import FILE, FORM
from qwen_webui.documents import Limits
from qwen_webui.documents.intake import MOST, MOST_OF_OWNER
from qwen_webui.documents.kinds import READABLE
from qwen_webui.store.documents import (
    MOST_BYTES,
    MOST_BYTES_WITHOUT,
    MOST_IN_CONVERSATIONS,
    MOST_OF_A_CONVERSATION,
    MOST_WITHOUT,
)

UPLOAD = f"""\
Upload one file, up to {Limits().file_bytes >> 20} MiB, and learn what can be read of it, page by \
page. {READABLE}

With `conversation` the document belongs to that conversation of yours and dies with it; without, it
is kept until you delete it, or seven days. It is yours: of the key that you send, of the browser
whose cookie you send, or, on a server without keys, of the address that you send from.

At most {MOST_OF_OWNER} uploads of yours may be under way, and {MOST} of everybody: one more is 429
`too_many_uploads`, with `Retry-After`. You may keep {MOST_OF_A_CONVERSATION} documents in a
conversation and {MOST_IN_CONVERSATIONS:,} in all of yours, {MOST_WITHOUT} without one: one more is
422 `too_many_documents`. With what was read of them they may take {MOST_BYTES >> 20:,} MiB in
conversations and {MOST_BYTES_WITHOUT >> 20:,} MiB without one: more is 413 `documents_full`.

The file is read in a process of its own with limits on time and memory. 415: it is of a kind that
is not read, or its content is not what its name says. 422: it is damaged, locked, empty or larger
than what is read; `code` says which (`document_encrypted`, `document_empty`, `document_too_large`,
`document_timeout`, `document_unreadable`).
"""
RECOGNISE = """\
Read the pages in `to_recognise` by OCR; from then on answers are made from that text too.

Server-sent events: `event: progress` with pages done and in all, last `event: document` with the
document and its new diagnosis. 422 `ocr_missing` says what is to be installed.
"""
ASK = """\
Answer a question from the document, with citations that are checked.

What fits the context is read whole; otherwise the passages that fit the question, or, where the
question is of the whole (a summary, a comparison) or `everything` is true, every part in a call of
its own. The answer says what was read in which call and what was left out, and of every quotation
whether it stands on the page that it names.

With `"stream": true` the answer is a stream of server-sent events: `event: sources` (once more, if
a swap changed the plan, or with what was read until then if the reading fails between two calls:
the last one counts), `event: queued` with `{"place"}` while it waits, `event: progress` between
the calls, and first of all, with the stage `indexing_documents`, while documents of millions of
characters are made ready to be searched, `{"text"}` for each piece of text, `event: citations`,
and `{"usage", "model", "finish_reason"}` last; `event: error` with `{"error"}` when it fails
after the start.

With `schema`, `regex` or `choices` the answer is kept to that form and has no citations; `sources`
is told all the same.
"""
FORM_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "properties": {
                        FILE: {
                            "type": "string",
                            "format": "binary",
                            "description": "The file, sent with a file name",
                        },
                        "name": {
                            "type": "string",
                            "description": "What to call it, instead of the file's own name",
                        },
                        "conversation": {
                            "type": "string",
                            "description": "The id of a conversation of yours",
                        },
                    },
                    "required": [FILE],
                    "additionalProperties": False,
                },
                "examples": {
                    "a-text": {"summary": "A text", "value": {FILE: "The Lorna is a ship."}}
                },
            }
        },
    }
}
QUESTIONS: Examples = {
    "A question": {"question": "Who is the captain of the Lorna?"},
    "A summary, as a stream": {"question": "Summarise the document.", "stream": True},
    "Of every part": {"question": "Which ships are named?", "everything": True},
    "JSON of a schema": {
        "question": "Who is the captain, and how old?",
        "schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["name", "age"],
        },
    },
}
_DOCUMENT = '"id":"3f9c","name":"lorna.pdf"'
_PAGE = '{"document":"3f9c","first":1,"last":1}'
_SPAN = '{"document":"3f9c","page":1,"start":0,"end":41}'
ASKED = f"""\
event: sources
data: {{"mode":"whole","documents":[{{{_DOCUMENT},"unit":"page","pages":1}}],"calls":[{{"number":1,\
"step":"answer","pages":[{_PAGE}],"inputs":[]}}],"pages_read":[{_PAGE}],"pages_left_out":[],\
"read":[{_SPAN}],"left_out":[]}}

data: {{"text":"Pella Grint.\\nSource: \\"The captain of the Lorna is Pella Grint.\\" [p. 1]"}}

event: citations
data: {{"citations":[{{"document":"3f9c","page":1,\
"quote":"The captain of the Lorna is Pella Grint.","verified":true,"verdict":"verified",\
"found_on":1,"start":22,"end":62,"spans":[{_SPAN}]}}]}}

data: {{"usage":{{"prompt_tokens":99,"completion_tokens":20,"total_tokens":119,"cached_tokens":0,\
"seconds_to_first_token":0.1,"seconds":0.3,"tokens_per_second":95.0}},"model":"demo-fp16",\
"finish_reason":"stop"}}

"""
RECOGNISED = f"""\
event: progress
data: {{"stage":"recognising","done":0,"total":1,"unit":"pages"}}

event: document
data: {{{_DOCUMENT},"kind":"pdf","unit":"page","pages":1,"bytes":8124,"created":1790000000.0,\
"expires":1790604800.0,"conversation":null,"diagnosis":{{"words":8,"tokens":10,"pages":[{{"page":1,\
"words":8,"tokens":10,"state":"recognised","title":""}}],"unread":[],"to_recognise":[]}},\
"ocr":{{"available":true,"install":""}}}}

"""
