"""A comparison as HTML: its progress, its columns side by side, and the list of those kept.

Only text from values; every word of a model or a person is escaped. The frame has a place for each
part that changes while it runs, so that a page renews those alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from qwen_webui.comparison.differences import Change
from qwen_webui.comparison.values import Answer, Column, Comparison
from qwen_webui.measure.fidelity.report import FidelityRow
from qwen_webui.ui.compare_chart import chart_html
from qwen_webui.ui.compare_words import (
    COLUMN_STATES,
    STATES,
    answer_facts,
    column_facts,
    comparison_title,
    difference_words,
    progress_words,
)
from qwen_webui.ui.markup import escape
from qwen_webui.ui.texts import Texts
from qwen_webui.ui.views import age

FORMS = ("json", "csv", "md")
Marks = Callable[[str, str], Sequence[Change]]


@dataclass(frozen=True)
class Result:
    """`frame` has an empty element with data-part="NAME" for each of `parts`."""

    frame: str
    parts: Mapping[str, str]


def result_of(
    comparison: Comparison, fidelity: Mapping[str, FidelityRow], marks: Marks, t: Texts
) -> Result:
    """All of one comparison. `fidelity` are rows by checkpoint; `marks` finds what changed."""
    parts = {"progress": _progress(comparison, t), "share": _share(comparison, t)}
    parts["tools"] = _tools(comparison, t)
    for place, column in enumerate(comparison.columns):
        parts[f"column-{place}"] = _head(column, place, t)
        for prompt in range(len(comparison.wanted.prompts)):
            first = _answer_at(comparison.columns[0], prompt)
            answer = _answer_at(column, prompt)
            parts[f"answer-{place}-{prompt}"] = _answer(column, answer, first, marks, t)
    parts["chart"] = chart_html(comparison.columns, fidelity, t)
    return Result(_frame(comparison, t), parts)


def version_of(comparison: Comparison) -> str:
    """Changes when anything that is shown does; texts only grow."""
    columns = (
        f"{c.state},{c.error is None},{c.peak_bytes},{c.cache_bytes},{c.tokens_per_second},"
        + ",".join(
            f"{len(a.text)}.{a.ended}.{a.equal}.{a.usage is None}.{a.error is None}"
            for a in c.answers
        )
        for c in comparison.columns
    )
    return f"{comparison.id}:{comparison.state}:{comparison.error is None}:{'|'.join(columns)}"


def _frame(comparison: Comparison, t: Texts) -> str:
    columns = comparison.columns
    heads = "".join(
        f'<div class="qw-cell qw-column" data-part="column-{place}"></div>'
        for place in range(len(columns))
    )
    prompts = "".join(
        _prompt(number, comparison, t) for number in range(len(comparison.wanted.prompts))
    )
    return (
        f'<article class="qw-compared" data-comparison="{escape(comparison.id)}" '
        'aria-labelledby="qw-compared-title"><header>'
        f'<h3 id="qw-compared-title" tabindex="-1">{escape(comparison_title(comparison, t))}</h3>'
        f'<time class="qw-quiet" datetime="{escape(comparison.created)}">'
        f"{escape(_when(comparison.created))}</time></header>"
        '<div class="qw-compare-state"><p data-part="progress" role="status"></p>'
        '<div data-part="share"></div></div>'
        '<div class="qw-compare-tools" data-part="tools"></div>'
        '<div class="qw-columns" role="region" tabindex="0" '
        f'aria-label="{escape(t("compare.side_by_side"))}" style="--qw-columns:{len(columns)}">'
        f'<div class="qw-cells">{heads}</div>{prompts}</div>'
        '<div data-part="chart"></div></article>'
    )


def _prompt(number: int, comparison: Comparison, t: Texts) -> str:
    prompt = comparison.wanted.prompts[number]
    asked = prompt.messages[-1].content if prompt.messages else prompt.title
    cells = "".join(
        f'<div class="qw-cell" data-part="answer-{place}-{number}"></div>'
        for place in range(len(comparison.columns))
    )
    title = t("compare.prompt_number", number=number + 1)
    return (
        f'<section class="qw-asked"><details{"" if len(asked) > 400 else " open"}>'
        f"<summary>{escape(title)}</summary>"
        f'<div class="qw-words">{escape(asked)}</div></details>'
        f'<div class="qw-cells">{cells}</div></section>'
    )


def _progress(comparison: Comparison, t: Texts) -> str:
    said = f"<b>{escape(progress_words(comparison, t))}</b>"
    if comparison.error:
        said += f' <span class="qw-wrong" lang="en">{escape(comparison.error)}</span>'
    if comparison.state == "restoring" and comparison.previous:
        said += f" {escape(t('compare.gives_back', name=comparison.previous))}"
    return said


def _share(comparison: Comparison, t: Texts) -> str:
    if not comparison.active:
        return ""
    done, wanted = comparison.answers_done, comparison.answers_wanted
    label = t("compare.answers_of", done=done, count=wanted)
    return (
        f'<progress max="{wanted}" value="{done}" aria-label="{escape(label)}"></progress>'
        f'<span class="qw-quiet">{escape(label)}</span>'
        f'<button type="button" class="qw-small-button" data-do="compare-cancel">'
        f"{escape(t('model.cancel'))}</button>"
    )


def _tools(comparison: Comparison, t: Texts) -> str:
    """What can be done with answers that are there."""
    if not comparison.answers_done:
        return ""
    marks = (
        '<label><input type="checkbox" data-compare="marks" checked> '
        f"{escape(t('compare.mark'))}</label>"
    )
    legend = (
        f'<span class="qw-quiet qw-legend"><ins>{escape(t("compare.added"))}</ins> '
        f"<del>{escape(t('compare.removed'))}</del></span>"
    )
    if comparison.active:
        return marks + legend
    links = "".join(
        f'<a class="qw-small-button qw-download" download '
        f'href="./ui/compare/kept/{escape(comparison.id)}/{form}">{escape(t(label))}</a>'
        for form, label in zip(
            FORMS, ("compare.file_json", "compare.file_csv", "compare.file_md"), strict=True
        )
    )
    group = escape(t("compare.export"))
    return f'{marks}{legend}<span role="group" aria-label="{group}">{links}</span>'


def _head(column: Column, place: int, t: Texts) -> str:
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(figure)}</dd></div>"
        for name, figure in column_facts(column, t)
    )
    first = f" <small>{escape(t('compare.reference'))}</small>" if place == 0 else ""
    state = escape(t(COLUMN_STATES[column.state]))
    error = f'<p class="qw-wrong" lang="en">{escape(column.error)}</p>' if column.error else ""
    return (
        f"<h4>{escape(column.title)}{first}</h4>"
        f'<p class="qw-column-state" data-state="{column.state}">{state}</p>{error}'
        + (f"<dl>{facts}</dl>" if facts else "")
    )


def _answer_at(column: Column, prompt: int) -> Answer | None:
    return column.answers[prompt] if prompt < len(column.answers) else None


def _answer(
    column: Column, answer: Answer | None, first: Answer | None, marks: Marks, t: Texts
) -> str:
    name = f'<h5 class="qw-cell-name">{escape(column.title)}</h5>'
    if answer is None or (not answer.text and answer.usage is None and answer.error is None):
        return f'{name}<p class="qw-quiet">–</p>'
    if answer.difference is not None and first is not None:
        text = "".join(_marked(marks(first.text, answer.text)))
    else:
        text = escape(answer.text)
    notes = "".join(
        f'<p class="{look}"{lang}>{escape(said)}</p>'
        for look, lang, said in (
            ("qw-differs", "", difference_words(answer, t)),
            ("qw-wrong", ' lang="en"', answer.error or ""),
            ("qw-quiet", "", answer_facts(answer, t)),
        )
        if said
    )
    return f'{name}<div class="qw-words">{text}</div>{notes}'


def _marked(found: Sequence[Change]) -> Iterator[str]:
    """The first place that differs can be told from the others."""
    first, met = ' class="qw-first"', False
    for change in found:
        text = escape(change.text)
        if change.kind == "same":
            first = "" if met else first
            yield text
            continue
        tag, met = "ins" if change.kind == "added" else "del", True
        yield f"<{tag}{first}>{text}</{tag}>"


def kept_list(kept: Sequence[Comparison], current: str, t: Texts, now: dt.datetime) -> str:
    """The side column's list, newest first, under headings of time."""
    if not kept:
        return f'<p class="qw-none">{escape(t("compare.none_kept"))}</p>'
    parts, heading = [], ""
    for one in kept:
        when = age(_time(one.created).timestamp(), now, t)
        if when != heading:
            parts.append(("</ul>" if heading else "") + f"<h2>{escape(when)}</h2><ul>")
            heading = when
        parts.append(_entry(one, one.id == current, t))
    return f"{''.join(parts)}</ul>"


def _entry(one: Comparison, current: bool, t: Texts) -> str:
    title = comparison_title(one, t) or t("compare.untitled")
    state = escape(t(STATES[one.state]))
    look = {"done": "qw-valid", "failed": "qw-failed"}.get(one.state, "qw-stopped")
    here = ' aria-current="page"' if current else ""
    id, name = escape(one.id), escape(title)
    delete = escape(t("json.delete_named", title=title))
    bin = (
        f'<button type="button" class="qw-icon qw-icon-delete" data-delete-comparison="{id}" '
        f'data-title="{name}" title="{escape(t("side.delete"))}" aria-label="{delete}"></button>'
    )
    clock = escape(_when(one.created)[-5:])
    return (
        f"<li{' class=qw-here' if current else ''}>"
        f'<a href="?tab=compare&amp;comparison={id}" data-open-comparison="{id}" '
        f'title="{name}"{here}><i class="qw-dot {look}" role="img" aria-label="{state}" '
        f'title="{state}"></i><span>{clock} {name}</span></a>{"" if one.active else bin}</li>'
    )


def _time(created: str) -> dt.datetime:
    return dt.datetime.fromisoformat(created).astimezone()


def _when(created: str) -> str:
    return _time(created).strftime("%Y-%m-%d %H:%M")
