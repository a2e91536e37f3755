"""What an answer quotes, and what it did not read, as lines of Markdown under it.

Word choice only; what is true about a quotation was found out when the answer was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from qwen_webui.types import AskedDocument, Citation, Citations, Sources

Language = Literal["en", "zh"]

_UNITS: Mapping[str, Mapping[str, str]] = {
    "en": {"page": "page", "slide": "slide", "sheet": "sheet", "part": "part"},
    "zh": {"page": "页", "slide": "张幻灯片", "sheet": "张工作表", "part": "部分"},
}
_VERDICTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "verified": "found there",
        "other_page": "not there, but on {found}",
        "not_found": "not found in the documents",
        "no_page": "there is no such {unit}",
        "too_short": "too short to be checked",
        "anywhere": "found on {found}",
    },
    "zh": {
        "verified": "已核对",
        "other_page": "不在该处，而在{found}",
        "not_found": "文档中未找到",
        "no_page": "没有这一{unit}",
        "too_short": "太短，无法核对",
        "anywhere": "见于{found}",
    },
}


def quoted(sources: Sources, citations: Citations, language: Language) -> str:
    """A list with a line a quotation; empty if there is none."""
    return "\n".join(_citation(item, sources.documents, language) for item in citations.items)


def unread(sources: Sources, language: Language) -> Iterator[str]:
    """A line for each document of which something was not read."""
    read = {(span.document, span.page) for span in sources.read}
    for number, document in enumerate(sources.documents, 1):
        pages = sorted({span.page for span in sources.left_out if span.document == number})
        whole = [page for page in pages if (number, page) not in read]
        partly = [page for page in pages if (number, page) in read]
        if whole or partly:
            yield _unread(document, whole, partly, language)


def _unread(
    document: AskedDocument, whole: Sequence[int], partly: Sequence[int], language: Language
) -> str:
    some, others = (_pages(pages, document.unit, language) for pages in (whole, partly))
    if language == "zh":
        said = [f"未读：{some}" if whole else "", f"部分未读：{others}" if partly else ""]
        return f"{document.name} {'；'.join(filter(None, said))}"
    said = [some, f"in part: {others}" if partly else ""]
    return f"Not read of {document.name}: {'; '.join(filter(None, said))}"


def _citation(item: Citation, documents: Sequence[AskedDocument], language: Language) -> str:
    at = item.document - 1
    document = documents[at] if 0 <= at < len(documents) else AskedDocument("", "?", "page", 0)
    page = _pages([item.page], document.unit, language) if item.page is not None else ""
    comma = "，" if language == "zh" else ", "
    where = comma.join(filter(None, (document.name, page)))
    found = item.found_on
    kind = "anywhere" if item.verdict == "verified" and item.page is None else item.verdict
    verdict = _VERDICTS[language][kind].format(
        found=_pages([found], document.unit, language) if found is not None else "",
        unit=_UNITS[language].get(document.unit, document.unit),
    )
    quote = " ".join(item.quote.split())
    if language == "zh":
        return f"- “{quote}”（{where}）：{verdict}" if quote else f"- {where}：{verdict}"
    return f"- “{quote}” ({where}): {verdict}" if quote else f"- {where}: {verdict}"


def _pages(pages: Sequence[int], unit: str, language: Language) -> str:
    """`pages 4–6, 9`; empty for none."""
    if not pages:
        return ""
    runs: list[list[int]] = []
    for page in pages:
        if runs and runs[-1][-1] == page - 1:
            runs[-1][1:] = [page]
        else:
            runs.append([page])
    joined = ("、" if language == "zh" else ", ").join("–".join(map(str, run)) for run in runs)
    word = _UNITS[language].get(unit, unit)
    if language == "zh":
        return f"第 {joined} {word}"
    return f"{word}{'s' if len(pages) > 1 else ''} {joined}"
