"""The login page: a small document in two languages, without scripts or anything from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from urllib.parse import urlencode

from qwen_webui.personas import Language

TEXTS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "title": "Log in",
        "lead": "This server asks for a key. Whoever started it knows it: it was chosen with "
        "--api-key, or it stands in the console, in the address that was printed at the start.",
        "key": "Key",
        "enter": "Log in",
        "other": "中文",
        "wrong": "This key is not one of this server's. Check it and try again.",
        "empty": "Put in a key.",
        "slow": "Too many wrong keys came from your address. Wait {seconds} seconds, then try "
        "again.",
    },
    "zh": {
        "title": "登录",
        "lead": "访问本服务需要密钥。启动服务的人知道它：密钥由 --api-key 指定，"
        "或显示在启动时控制台打印的网址里。",
        "key": "密钥",
        "enter": "登录",
        "other": "English",
        "wrong": "密钥不正确。请检查后重试。",
        "empty": "请输入密钥。",
        "slow": "来自您所在地址的错误密钥过多。请等待 {seconds} 秒后重试。",
    },
}
TAGS: Mapping[Language, str] = {"en": "en", "zh": "zh-CN"}

FLAG = "--api-key"
MARK = (
    '<svg width="28" height="28" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" '
    'height="32" rx="8" stroke="none"/><path d="M9 11h14M9 16h14M9 21h8" fill="none" '
    'stroke-width="2.6" stroke-linecap="round"/></svg>'
)

STYLE = """\
:root { color-scheme: light dark; --ground: #fbfaf8; --raised: #fff; --line: #8b877e;
  --text: #22241f; --quiet: #65625b; --accent: #1f6b5c; --on-accent: #fff; --bad: #a8321f;
  --bad-soft: #fbeae6; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #1a1b1a; --raised: #242524; --line: #7d807b; --text: #e7e8e4;
    --quiet: #a3a59e; --accent: #6cc0ab; --on-accent: #0d1f1b; --bad: #f0968a;
    --bad-soft: #3a2320; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 20px;
  background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, -apple-system,
  "Segoe UI", Roboto, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC",
  sans-serif; }
main { width: 100%; max-width: 400px; }
header { display: flex; align-items: center; gap: 10px; font-weight: 600; }
header svg { fill: var(--accent); stroke: var(--on-accent); }
code { font: inherit; white-space: nowrap; }
header a { margin-left: auto; color: var(--quiet); font-weight: 400; font-size: 14px; }
h1 { font-size: 24px; margin: 28px 0 8px; }
p { margin: 0 0 20px; color: var(--quiet); font-size: 14.5px; }
p[role=alert] { padding: 10px 12px; border-radius: 8px; background: var(--bad-soft);
  color: var(--bad); }
label { display: block; font-size: 14px; margin-bottom: 6px; }
input, button { width: 100%; font: inherit; border-radius: 10px; padding: 11px 13px; }
input { border: 1px solid var(--line); background: var(--raised); color: inherit; }
button { margin-top: 14px; border: 0; background: var(--accent); color: var(--on-accent);
  font-weight: 600; cursor: pointer; }
a:focus-visible, input:focus-visible, button:focus-visible { outline: 2px solid var(--accent);
  outline-offset: 2px; }
"""


def login_page(language: Language, target: str, *, said: str = "", seconds: int = 0) -> str:
    """The page. `target` is where the login leads to, `said` the text of a refusal."""
    t = TEXTS[language]
    other = {"lang": "en" if language == "zh" else "zh"} | ({"next": target} if target else {})
    alert = t[said].format(seconds=seconds) if said else ""
    return f"""\
<!DOCTYPE html>
<html lang="{TAGS[language]}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(t["title"])} · Qwen WebUI</title>
<link rel="icon" href="data:,">
<style>
{STYLE}</style>
</head>
<body>
<main>
<header>{MARK}Qwen WebUI
<a href="./login?{escape(urlencode(other))}" lang="{TAGS["en" if language == "zh" else "zh"]}">\
{escape(t["other"])}</a></header>
<h1>{escape(t["title"])}</h1>
<p>{escape(t["lead"]).replace(FLAG, f"<code>{FLAG}</code>")}</p>
{f'<p role="alert">{escape(alert)}</p>' if alert else ""}
<form method="post" action="./login">
<input type="hidden" name="next" value="{escape(target)}">
<label for="key">{escape(t["key"])}</label>
<input id="key" name="key" type="password" autocomplete="current-password" autofocus required>
<button>{escape(t["enter"])}</button>
</form>
</main>
</body>
</html>
"""
