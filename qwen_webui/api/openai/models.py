"""GET /v1/models, and which checkpoint a request means by `model`."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, field

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from qwen_webui import __version__
from qwen_webui.api.access import require_admin
from qwen_webui.api.described import path_parameter, refusals
from qwen_webui.api.openai.shapes import ModelList, ModelOut
from qwen_webui.api.wire import JSON
from qwen_webui.checkpoints.choice import lookup
from qwen_webui.errors import ModelNotReady, NotFound, QueueTimeout
from qwen_webui.models.manager import RETRY_AFTER_LOAD
from qwen_webui.services import Services
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import CheckpointSpec, EngineInfo

ONE = path_parameter("id", "A name or hub id, with its slash as it is or encoded", "demo-fp16")


@dataclass(frozen=True)
class Served:
    """What answers: told before the first piece of an answer."""

    model: str
    fingerprint: str
    tokenizer: ChatTokenizer = field(compare=False)

    @classmethod
    def of(cls, info: EngineInfo, tokenizer: ChatTokenizer) -> Served:
        """From what the engine says of itself."""
        checkpoint = info.checkpoint
        parts = (__version__, checkpoint.name, checkpoint.precision, info.dtype, info.kernel)
        digest = hashlib.sha256("\0".join((*parts, info.device_name)).encode()).hexdigest()
        return cls(info.checkpoint.name, f"fp_{digest[:10]}", tokenizer)


def add_openai_model_routes(router: APIRouter, services: Services) -> None:
    """Put the routes of this file into `router`."""
    started = int(time.time())

    @router.get(
        "/v1/models",
        summary="What may be asked for",
        description="The checkpoint that is loaded or being loaded; with --allow-swap every "
        "checkpoint this server knows.",
        response_model=ModelList,
        responses=refusals(),
    )
    async def models() -> Response:
        rows = [_row(spec, started) for spec in servable(services)]
        return _json(ModelList(object="list", data=rows))

    @router.get(
        "/v1/models/{id:path}",
        summary="One of them",
        response_model=ModelOut,
        responses=refusals(404),
        openapi_extra=ONE,
    )
    async def model(request: Request) -> Response:
        return _json(_row(named(services, request.path_params["id"]), started))


def servable(services: Services) -> tuple[CheckpointSpec, ...]:
    """What may be asked for now, the loaded one first."""
    status = services.manager.status()
    known = services.library.all()
    current = [spec for name in (status.name, status.target) if (spec := _known(name, known))]
    others: list[CheckpointSpec] = []
    if services.settings.allow_swap:
        here = not services.settings.offline
        others = [spec for spec in known if here or spec.folder is not None]
    return tuple({spec.name: spec for spec in (*current, *others)}.values())


def named(services: Services, name: str) -> CheckpointSpec:
    """What a client means by `name`. Raises NotFound, with what may be asked for."""
    rows = servable(services)
    spec = lookup(name, rows)
    if spec is None:
        loaded = rows[0].name if rows else "nothing yet"
        how = (
            "GET /v1/models lists what there is."
            if services.settings.allow_swap
            else "Only a server started with --allow-swap loads others when they are asked for."
        )
        raise NotFound(
            f"The model {name[:100]!r} is not served here; loaded is {loaded}. {how}",
            code="model_not_found",
            param="model",
        )
    return spec


async def make_ready(services: Services, request: Request, name: str | None) -> str | None:
    """The checkpoint's own name, once it is loaded; None if any will do. Waits for a load like any
    swap. Raises NotFound, Forbidden, ModelNotReady, QueueTimeout, and what a load raises."""
    status = services.manager.status()
    if name is None or name == status.name:
        return name  # the common case, without a look at the disk
    nothing = status.name is None and status.target is None
    if nothing and not services.settings.allow_swap:
        # Whatever is named: the reason that nothing is loaded is the better answer.
        services.manager.tokenizer()
    spec = named(services, name)
    if spec.name == status.target:
        await _loaded(services, spec.name)
    elif spec.name != status.name:
        require_admin(request)
        await services.manager.load(spec.name)
    return spec.name


async def _loaded(services: Services, name: str) -> None:
    """Wait for a load that others began; the very first one is not waited for."""
    seconds = services.settings.queue_timeout
    status = services.manager.status()
    try:
        async with asyncio.timeout(seconds):
            while status.target == name and status.info is not None:
                status = await services.manager.changed(status)
    except TimeoutError as error:
        raise QueueTimeout(
            f"{name} was still being loaded after {seconds:g} seconds. Try again later.",
            retry_after=RETRY_AFTER_LOAD,
        ) from error
    if name not in (status.name, status.target):
        raise ModelNotReady(
            f"{name} was not loaded: {status.error or 'the load was given up.'}",
            retry_after=RETRY_AFTER_LOAD,
        )


def _known(name: str | None, known: tuple[CheckpointSpec, ...]) -> CheckpointSpec | None:
    return lookup(name, known) if name is not None else None


def _row(spec: CheckpointSpec, started: int) -> ModelOut:
    owner = "qwen" if spec.family == "qwen2.5" else "qwen-webui"
    return ModelOut(id=spec.name, object="model", created=started, owned_by=owner)


def _json(value: ModelOut | ModelList) -> Response:
    return Response(value.model_dump_json(), media_type=JSON)
