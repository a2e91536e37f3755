"""Says one and the same answer as each persona would, so that only the system message decides.

The mark of each style is what `checks.py` looks for. What is true or asked is decided elsewhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

PERSONAS = ("general", "code", "writing", "translator", "extraction", "analyst")


@dataclass(frozen=True)
class Reply:
    """An answer before it has a style.

    A reply with a `label` gives the value of something (`None`: it is not known); one without
    only says something, and `short` is its shortest form. `quote` is the sentence it rests on.
    `about` and `known` say what is asked before the value comes: in words, and as JSON fields.
    """

    text: str
    label: str | None = None
    value: str | None = None
    quote: str | None = None
    page: int | None = None
    about: str = ""
    known: tuple[tuple[str, str], ...] = ()
    short: str = ""
    praise: str = ""
    advice: str = ""


_WORDS = {
    "en": {
        "strength": "Strength: ",
        "improve": "To improve: ",
        "source": "Source: ",
        "none": "Source: none",
        "praise_fact": "your question names what you want to know.",
        "advice_fact": "ask for one more detail.",
        "praise_say": "your message is short and clear.",
        "advice_say": "add a sentence that I can comment on.",
        "glue": " ",
    },
    "zh": {
        "strength": "优点：",
        "improve": "改进：",
        "source": "出处：",
        "none": "出处：无",
        "praise_fact": "您的问题说清了想知道什么。",
        "advice_fact": "可以再问一个细节。",
        "praise_say": "您的话简短清楚。",
        "advice_say": "可以加一句话让我点评。",
        "glue": "",
    },
}


def quotation(language: str, sentence: str, page: int | None) -> str:
    """The sentence in quotation marks, with its page mark if it has one."""
    text = f'"{sentence}"' if language == "en" else f"“{sentence}”"
    return text if page is None else f"{text} [p. {page}]"


def styled(persona: str, language: str, reply: Reply) -> str:
    """The reply as `persona` says it. The translator answers nothing and has no style here."""
    words = _WORDS[language]
    text = reply.text
    if persona == "extraction":
        if reply.label is None:
            return dump({"message": reply.text})
        return dump({**dict(reply.known), reply.label: reply.value})
    if persona == "analyst":
        if reply.quote is None:
            return f"{text}\n{words['none']}"
        return f"{text}\n{words['source']}{quotation(language, reply.quote, reply.page)}"
    if reply.quote is not None:
        text += words["glue"] + quotation(language, reply.quote, reply.page)
    if persona == "code":
        return f"```python\n{_line_of_code(reply)}\n```\n{text}"
    if persona == "writing":
        kind = "say" if reply.label is None else "fact"
        praise = reply.praise or words[f"praise_{kind}"]
        advice = reply.advice or words[f"advice_{kind}"]
        return f"{text}\n{words['strength']}{praise}\n{words['improve']}{advice}"
    assert persona == "general", f"no style for the persona {persona}"
    return text


def dump(value: object) -> str:
    """JSON as the demonstration model writes it: characters as they are."""
    return json.dumps(value, ensure_ascii=False)


def _line_of_code(reply: Reply) -> str:
    if reply.label is None:
        return f"print({dump(reply.short or reply.text)})"
    name = reply.label.replace(" ", "_").replace("'", "")
    line = f"{name} = {'None' if reply.value is None else dump(reply.value)}"
    return f"# {reply.about}\n{line}" if reply.about else line
