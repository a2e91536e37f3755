"""Uploading documents, looking at them, reading them by OCR, deleting them; each caller's own.

How a form is taken apart is form.py's, how a question is answered asking.py's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from qwen_webui.api.access import owner_of
from qwen_webui.api.described import refusals, stream_of
from qwen_webui.api.documents import texts
from qwen_webui.api.documents.asking import add_asking
from qwen_webui.api.documents.form import UploadForm
from qwen_webui.api.documents.shapes import (
    DiagnosedOut,
    DiagnosisOut,
    DocumentId,
    DocumentOut,
    DocumentsOut,
    OcrOut,
    PageOut,
)
from qwen_webui.api.events import CLIENT_GONE, Event, EventStream, while_connected
from qwen_webui.api.shapes import ProgressOut
from qwen_webui.api.wire import JSON
from qwen_webui.documents.diagnosis import diagnose
from qwen_webui.errors import ModelNotReady, NotFound
from qwen_webui.services import Services
from qwen_webui.store import StoredDocument
from qwen_webui.types import Progress

Number = Annotated[int, Path(description="Its number; the first is 1", examples=[1])]
Conversation = Annotated[
    str | None, Query(description="Those of this conversation; left out: those of none")
]


def document_routes(services: Services) -> APIRouter:
    """The router of this folder."""
    router = APIRouter(tags=["Documents"])
    _add_uploading(router, services)
    _add_looking(router, services)
    add_asking(router, services)
    return router


def _add_uploading(router: APIRouter, services: Services) -> None:
    shelf = services.documents

    @router.post(
        "/api/documents",
        status_code=201,
        summary="Upload a document",
        description=texts.UPLOAD,
        response_model=DiagnosedOut,
        responses=refusals(404, 408, 413, 415, 422, 507),
        openapi_extra=texts.FORM_BODY,
    )
    async def upload(request: Request) -> Response:
        form = UploadForm(request.headers.get("content-type", ""))
        try:
            async with aclosing(form.pieces(request.stream())) as pieces:
                received = await shelf.receive(owner_of(request), pieces)
        except ClientDisconnect:
            return Response(status_code=CLIENT_GONE)
        name, conversation = form.fields.get("name"), form.fields.get("conversation")
        reading = shelf.upload(
            owner_of(request), received, name or form.file_name, conversation=conversation or None
        )
        stored = await while_connected(request.receive, _last(reading))
        if stored is None:
            return Response(status_code=CLIENT_GONE)
        told = await _diagnosed(services, owner_of(request), stored)
        return Response(told.model_dump_json(), 201, media_type=JSON)

    @router.post(
        "/api/documents/{id}/recognise",
        summary="Read scanned pages by OCR",
        description=texts.RECOGNISE,
        # Only its refusals are JSON.
        response_class=Response,
        responses=refusals(404, 409, 422, 507)
        | stream_of(ProgressOut, DiagnosedOut, example=texts.RECOGNISED),
    )
    async def recognise(request: Request, id: DocumentId) -> Response:
        return EventStream(_recognised(services, owner_of(request), id))


def _add_looking(router: APIRouter, services: Services) -> None:
    shelf = services.documents

    @router.get(
        "/api/documents",
        summary="Your documents, the oldest first",
        responses=refusals(404, 422),
    )
    async def documents(request: Request, conversation: Conversation = None) -> DocumentsOut:
        found = await shelf.list(owner_of(request), conversation)
        return DocumentsOut(documents=tuple(map(DocumentOut.model_validate, found)))

    @router.get(
        "/api/documents/{id}",
        summary="One document, page by page",
        responses=refusals(404, 422, 507),
    )
    async def document(request: Request, id: DocumentId) -> DiagnosedOut:
        owner = owner_of(request)
        return await _diagnosed(services, owner, await shelf.get(owner, id))

    @router.get(
        "/api/documents/{id}/pages/{page}",
        summary="The text of one page",
        responses=refusals(404, 422, 507),
    )
    async def page(request: Request, id: DocumentId, page: Number) -> PageOut:
        document = await shelf.document(owner_of(request), id)
        found = document.page(page)
        if found is None:
            raise NotFound(
                f"The document has no {document.unit} {str(page)[:20]}; it has "
                f"{len(document.pages):,}.",
                param="page",
            )
        return PageOut(
            document=id,
            page=page,
            unit=document.unit,
            state=found.state,
            title=found.title,
            text=found.text,
        )

    @router.delete(
        "/api/documents/{id}",
        status_code=204,
        summary="Delete a document, its file and its text",
        responses=refusals(404, 422, 507),
    )
    async def delete(request: Request, id: DocumentId) -> None:
        await shelf.delete(owner_of(request), id)


async def _last(reading: AsyncGenerator[Progress | StoredDocument, None]) -> StoredDocument:
    stored: StoredDocument | None = None
    async with aclosing(reading) as steps:
        async for step in steps:
            if isinstance(step, StoredDocument):
                stored = step
    assert stored is not None, "what raises nothing ends with the document"
    return stored


async def _diagnosed(services: Services, owner: str, stored: StoredDocument) -> DiagnosedOut:
    shelf = services.documents
    try:
        diagnosis, counted = await shelf.diagnosis(owner, stored.id), True
    except ModelNotReady:
        document = await shelf.document(owner, stored.id)
        diagnosis, counted = await asyncio.to_thread(diagnose, document, len), False
    return DiagnosedOut(
        **dict(DocumentOut.model_validate(stored)),
        diagnosis=DiagnosisOut.of(diagnosis, stored.to_recognise, counted=counted),
        ocr=OcrOut.model_validate(await shelf.ocr()),
    )


async def _recognised(services: Services, owner: str, id: str) -> AsyncGenerator[Event, None]:
    async with aclosing(services.documents.recognise(owner, id)) as steps:
        async for step in steps:
            if isinstance(step, Progress):
                yield Event(ProgressOut.model_validate(step), "progress")
            else:
                yield Event(await _diagnosed(services, owner, step), "document")
