"""The one error tree. Every message says what was wrong, what was expected and what to do.

    WebUIError                      status  code (default)
    ├─ InvalidRequest                 422   invalid_request      a value is out of its range
    │  ├─ ContextLengthExceeded       400   context_length_exceeded
    │  ├─ NotFound                    404   not_found
    │  ├─ MethodNotAllowed            405   method_not_allowed
    │  ├─ SlowRequest                 408   request_timeout      the body did not arrive in time
    │  ├─ PayloadTooLarge             413   payload_too_large
    │  ├─ UnsupportedDocument         415   unsupported_document of a kind that is not read
    │  ├─ DocumentError               422   document_unreadable  damaged, locked, empty, too large
    │  └─ SchemaRefused               422   schema_invalid       or _unsupported, _too_large
    ├─ Unauthorized                   401   invalid_api_key      no key, or a wrong one
    ├─ Forbidden                      403   forbidden            a foreign page or host name
    ├─ Conflict                       409   conflict             another load is under way
    ├─ Overloaded                     429   overloaded           the waiting line is full
    ├─ TooManyTries                   429   too_many_tries       an address sent many wrong keys
    ├─ SettingsError                  400   invalid_setting      a flag or a variable
    ├─ CheckpointError                422   checkpoint_invalid   a folder or file cannot be used
    │  ├─ CheckpointMissing           404   checkpoint_missing
    │  ├─ DoesNotFit                  507   does_not_fit         forecast above what is free
    │  └─ DownloadFailed              502   download_failed
    ├─ Unavailable                    503   unavailable
    │  ├─ ModelNotReady               503   model_not_ready
    │  ├─ ModelSwitching              503   model_switching      cut by a swap
    │  ├─ ShuttingDown                503   shutting_down
    │  ├─ EngineCrashed               503   engine_crashed
    │  ├─ DeviceUnusable              503   device_unusable
    │  └─ OutOfMemory                 503   oom
    ├─ EngineTimeout                  504   engine_timeout       no token for too long
    │  └─ QueueTimeout                503   queue_timeout
    ├─ GenerationFailed               500   generation_failed
    └─ StoreError                     507   store_error          disk full, newer schema

Foreign errors are translated where the library is called. No internals, no paths of the machine
that the user did not give, no addresses.
"""

from __future__ import annotations


class WebUIError(Exception):
    """Base of everything this program raises on purpose.

    `message` is one or two sentences for a person; `code` is stable and for programs; `param`
    names the field at fault; `retry_after` is in seconds.
    """

    status = 500
    code = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.param = param
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross the worker's pipe: pickle must keep the keyword-only fields.
        return (_rebuild, (type(self), self.message, self.code, self.param, self.retry_after))

    @property
    def type(self) -> str:
        """The family a client can branch on, in OpenAI's words."""
        if self.status == 429:
            return "overloaded"
        return "invalid_request_error" if self.status < 500 else "server_error"

    def as_dict(self) -> dict[str, dict[str, str | None]]:
        """The one shape of an error on the wire."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "code": self.code,
                "param": self.param,
            }
        }


def _rebuild(
    kind: type[WebUIError], message: str, code: str, param: str | None, retry_after: int | None
) -> WebUIError:
    return kind(message, code=code, param=param, retry_after=retry_after)


class InvalidRequest(WebUIError):
    status, code = 422, "invalid_request"


class ContextLengthExceeded(InvalidRequest):
    status, code = 400, "context_length_exceeded"


class NotFound(InvalidRequest):
    status, code = 404, "not_found"


class MethodNotAllowed(InvalidRequest):
    status, code = 405, "method_not_allowed"


class SlowRequest(InvalidRequest):
    status, code = 408, "request_timeout"


class PayloadTooLarge(InvalidRequest):
    status, code = 413, "payload_too_large"


class UnsupportedDocument(InvalidRequest):
    status, code = 415, "unsupported_document"


class DocumentError(InvalidRequest):
    status, code = 422, "document_unreadable"


class SchemaRefused(InvalidRequest):
    status, code = 422, "schema_invalid"


class Unauthorized(WebUIError):
    status, code = 401, "invalid_api_key"


class Forbidden(WebUIError):
    status, code = 403, "forbidden"


class Conflict(WebUIError):
    status, code = 409, "conflict"


class Overloaded(WebUIError):
    status, code = 429, "overloaded"


class TooManyTries(WebUIError):
    status, code = 429, "too_many_tries"


class SettingsError(WebUIError):
    status, code = 400, "invalid_setting"


class CheckpointError(WebUIError):
    status, code = 422, "checkpoint_invalid"


class CheckpointMissing(CheckpointError):
    status, code = 404, "checkpoint_missing"


class DoesNotFit(CheckpointError):
    status, code = 507, "does_not_fit"


class DownloadFailed(CheckpointError):
    status, code = 502, "download_failed"


class Unavailable(WebUIError):
    status, code = 503, "unavailable"


class ModelNotReady(Unavailable):
    code = "model_not_ready"


class ModelSwitching(Unavailable):
    code = "model_switching"


class ShuttingDown(Unavailable):
    code = "shutting_down"


class EngineCrashed(Unavailable):
    code = "engine_crashed"


class DeviceUnusable(Unavailable):
    code = "device_unusable"


class OutOfMemory(Unavailable):
    code = "oom"


class EngineTimeout(WebUIError):
    status, code = 504, "engine_timeout"


class QueueTimeout(EngineTimeout):
    status, code = 503, "queue_timeout"


class GenerationFailed(WebUIError):
    status, code = 500, "generation_failed"


class StoreError(WebUIError):
    status, code = 507, "store_error"
