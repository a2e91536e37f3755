"""The page's routes for what stands behind an answer: a citation on its page, a page, the account.

All are of a stored message of the visitor's own; another visitor's is not there.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qwen_webui.documents import Document
from qwen_webui.errors import NotFound
from qwen_webui.services import Services
from qwen_webui.store import StoredMessage
from qwen_webui.types import Citation, Sources
from qwen_webui.ui.citation_report import citation_view, gone_view, paged, report
from qwen_webui.ui.texts import AllTexts
from qwen_webui.ui.visitor import language_of, owner_of


def citation_routes(services: Services, texts: AllTexts) -> APIRouter:
    """All of them. Each gives a dialog's title and its HTML."""
    router = APIRouter(prefix="/ui/message/{conversation}/{place}", include_in_schema=False)

    async def document(owner: str, sources: Sources, number: int) -> Document | None:
        try:
            return await services.documents.document(owner, sources.documents[number - 1].id)
        except NotFound:
            return None

    @router.get("/citation/{number}")
    async def citation(
        conversation: str, place: int, number: int, request: Request, page: int | None = None
    ) -> Response:
        owner, t = owner_of(request), texts[language_of(request)]
        message, sources = await _asked(services, owner, conversation, place)
        found = _citation(message, number)
        on = min(max(found.document, 1), len(sources.documents))
        view = citation_view(found, sources, await document(owner, sources, on), page, t)
        return _dialog(sources.documents[on - 1].name, view)

    @router.get("/page/{number}/{page}")
    async def one_page(
        conversation: str, place: int, number: int, page: int, request: Request
    ) -> Response:
        owner, t = owner_of(request), texts[language_of(request)]
        _, sources = await _asked(services, owner, conversation, place)
        if not 0 < number <= len(sources.documents):
            raise NotFound("The answer was given from no such document.")
        asked = sources.documents[number - 1]
        found = await document(owner, sources, number)
        if found is None:
            return _dialog(asked.name, gone_view(asked, t))
        if found.page(page) is None:
            raise NotFound(f"The document has no page {page}.")
        return _dialog(asked.name, paged(found, page, (), t))

    @router.get("/sources")
    async def account(conversation: str, place: int, request: Request) -> Response:
        owner, t = owner_of(request), texts[language_of(request)]
        message, sources = await _asked(services, owner, conversation, place)
        tokens = message.usage.prompt_tokens if message.usage else 0
        return _dialog(t("reading.title"), report(sources, tokens, t))

    return router


async def _asked(
    services: Services, owner: str, conversation: str, place: int
) -> tuple[StoredMessage, Sources]:
    """An answer about documents. Raises NotFound."""
    messages = (await services.store.get(owner, conversation)).messages
    sources = messages[place].sources if 0 <= place < len(messages) else None
    if sources is None:
        raise NotFound("There is no such answer about documents.")
    return messages[place], sources


def _citation(message: StoredMessage, number: int) -> Citation:
    items = message.citations.items if message.citations else ()
    if not 0 <= number < len(items):
        raise NotFound("The answer has no such citation.")
    return items[number]


def _dialog(title: str, html: str) -> Response:
    return JSONResponse({"title": title, "html": html}, headers={"cache-control": "no-store"})
