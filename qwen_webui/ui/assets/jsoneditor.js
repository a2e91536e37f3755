// The schema's editor: a plain text box with colours behind it and line numbers beside it, and what
// the server says of the schema below. Typing is never held up.
import { post, put, words } from "./bus.js";
import { coloured, layout, lineOf, tree } from "./jsontext.js";

// After the last key, in milliseconds; and letters above which the box stays plain.
const PAUSE = 350, COLOURED = 60_000;
let box, back, gutter, problems, timer = 0, asked = null, found = [];

export function startEditor(root, changed) {
  box = root.querySelector("#qw-json-schema");
  back = root.querySelector(".qw-page pre");
  gutter = root.querySelector(".qw-gutter");
  problems = root.querySelector("[data-json=problems]");
  box.addEventListener("input", () => {
    paint();
    later();
    changed();
  });
  box.addEventListener("scroll", follow);
  box.addEventListener("keydown", indent);
  problems.addEventListener("click", (event) => {
    const link = event.target.closest("[data-line]");
    if (link) goTo(Number(link.dataset.line));
  });
  paint();
}

export const schemaText = () => box.value;

// As typing would: it can be taken back with Ctrl+Z.
export function setSchema(text, { undo = false } = {}) {
  if (undo) {
    box.focus();
    box.select();
    if (document.execCommand("insertText", false, text)) return box.setSelectionRange(0, 0);
  }
  put(box, text);
  box.scrollTop = 0;
}

export function formatSchema() {
  const node = tree(box.value);
  if (node) setSchema(layout(node), { undo: true });
  return Boolean(node);
}

export function check() {
  clearTimeout(timer);
  if (!box.value.trim()) return said([]);
  asked?.abort();
  asked = new AbortController();
  const { signal } = asked;
  problems.classList.add("qw-old");
  post("json/check", { schema: box.value }, signal)
    .then((answer) => said(answer.problems))
    .catch((error) => {
      if (error.name !== "AbortError") said([{ place: "", kind: "", sentence: error.message }]);
    });
}

function later() {
  clearTimeout(timer);
  asked?.abort();
  problems.classList.add("qw-old");
  timer = setTimeout(check, PAUSE);
}

function said(list) {
  found = list.map((one) => ({ ...one, line: one.line || lineOf(box.value, one.place) }));
  problems.classList.remove("qw-old");
  problems.classList.toggle("qw-bad", found.length > 0);
  box.setAttribute("aria-invalid", String(found.length > 0));
  if (!box.value.trim()) problems.textContent = words("json.empty_schema");
  else if (!found.length) problems.textContent = words("json.is_valid");
  else problems.replaceChildren(heading(), ...found.map(row));
  number();
}

function heading() {
  const made = document.createElement("b");
  made.textContent =
    found.length === 1
      ? words("json.problems_one")
      : words("json.problems", { count: found.length });
  return made;
}

function row({ place, kind, sentence, line }) {
  const made = document.createElement("div");
  if (line) {
    const link = document.createElement("button");
    link.type = "button";
    link.dataset.line = line;
    link.title = words("json.to_line", { line });
    link.textContent = words("json.line", { line });
    made.append(link, " ");
  }
  const where = document.createElement("code");
  where.textContent = place;
  const text = document.createElement("span");
  text.lang = "en";
  // Names of keywords stand between backticks.
  sentence.split("`").forEach((part, at) => {
    if (at % 2 === 0) return text.append(part);
    const keyword = document.createElement("code");
    keyword.textContent = part;
    text.append(keyword);
  });
  made.append(where, kind ? ` ${kind} ` : " ", text);
  return made;
}

function goTo(line) {
  const lines = box.value.split("\n");
  const start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  box.focus();
  box.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
  box.scrollTop = Math.max(0, (line - 4) * parseFloat(getComputedStyle(box).lineHeight));
}

function paint() {
  const plain = box.value.length > COLOURED;
  box.classList.toggle("qw-plain-text", plain);
  back.replaceChildren(...(plain ? [] : [coloured(box.value), "\n"]));
  number();
  follow();
}

function number() {
  const lines = box.value.split("\n").length;
  const bad = new Set(found.map((one) => one.line));
  const shown = [];
  for (let line = 1; line <= lines; line++) {
    const made = document.createElement("span");
    made.textContent = line;
    if (bad.has(line)) made.className = "qw-bad";
    shown.push(made);
  }
  gutter.replaceChildren(...shown);
}

function follow() {
  back.style.transform = `translate(${-box.scrollLeft}px, ${-box.scrollTop}px)`;
  gutter.scrollTop = box.scrollTop;
}

// Enter keeps the margin and goes in after a bracket. Tab leaves the box, as everywhere.
function indent(event) {
  if (event.key !== "Enter" || event.ctrlKey || event.metaKey || event.isComposing) return;
  const before = box.value.slice(0, box.selectionStart), after = box.value.slice(box.selectionEnd);
  const margin = /[ \t]*/.exec(before.slice(before.lastIndexOf("\n") + 1))[0];
  const opened = /[{[]\s*$/.test(before);
  const closed = opened && /^\s*[}\]]/.test(after);
  event.preventDefault();
  const inner = `\n${margin}${opened ? "  " : ""}`;
  document.execCommand("insertText", false, closed ? `${inner}\n${margin}` : inner);
  if (closed) {
    const place = before.length + inner.length;
    box.setSelectionRange(place, place);
  }
}
