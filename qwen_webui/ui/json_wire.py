"""What the JSON tab's routes have in common: values in, JSON out, refusals in words.

Knows no route and no service. A browser may send anything, so nothing is taken for what it says.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qwen_webui.errors import InvalidRequest, WebUIError
from qwen_webui.ui.json_view import Json, error_words
from qwen_webui.ui.texts import Texts

UNSTORED = {"cache-control": "no-store"}
# Characters of an example, and of a schema that is shown as code.
MAX_TEXT = 100_000
TOO_DEEP = "It is nested too deeply, or holds a number that JSON does not have."


async def answered(
    request: Request, t: Texts, work: Callable[[dict[str, Any]], Awaitable[Json]]
) -> Response:
    """What `work` makes of the request's values; its errors in the reader's language."""
    try:
        made = await work(await sent_values(request))
    except WebUIError as error:
        return refused(error, t)
    # In ASCII: a text may hold half a surrogate pair, which no UTF-8 can.
    return Response(json.dumps(made), headers=UNSTORED, media_type="application/json")


async def sent_values(request: Request) -> dict[str, Any]:
    """The body, an object. The outer layer has bounded it. Raises InvalidRequest."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise InvalidRequest("Send JSON, with the content type application/json.")
    try:
        value = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The body is no JSON that can be read.") from error
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return value


def refused(error: WebUIError, t: Texts) -> Response:
    """An error in the reader's language."""
    told = {**error_words(error, t), "code": error.code, "param": error.param}
    return JSONResponse({"error": told}, status_code=error.status, headers=UNSTORED)


def read_json(text: str) -> Any:
    """The value that a person wrote. Raises InvalidRequest with the place of the mistake."""
    if len(text) > MAX_TEXT:
        raise InvalidRequest(
            f"It has {len(text):,} characters; at most {MAX_TEXT:,} are taken.", code="too_long"
        )
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"{error.msg} (line {error.lineno}, column {error.colno}).", code="not_json"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(TOO_DEEP, code="not_json") from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
