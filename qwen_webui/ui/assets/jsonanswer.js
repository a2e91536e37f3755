// The right half of the JSON tab: the answer while it comes and when it is there, in three views.
import { announce, copyText, post, words } from "./bus.js";
import { coloured, flow, layout, tree } from "./jsontext.js";
import { treeOf } from "./jsontree.js";

// Letters above which an answer that is being written is shown without colours.
const COLOURED = 20_000;
let root, out, standing, request, view = "pretty", code = 0;
let shown = { text: "", state: "", running: false };

export function startAnswer(tab, requested) {
  root = tab;
  request = requested;
  out = root.querySelector("[data-json=out]");
  standing = root.querySelector("[data-json=standing]");
  const nothing = [...out.childNodes];
  shown.nothing = nothing;
  root.querySelector(".qw-segments").addEventListener("click", (event) => {
    const choice = event.target.closest("[data-view]");
    if (!choice) return;
    view = choice.dataset.view;
    for (const one of root.querySelectorAll("[data-view]"))
      one.setAttribute("aria-pressed", String(one === choice));
    draw();
  });
  root.querySelector("[data-do=json-copy]").addEventListener("click", copy);
}

export const answerText = () => shown.text;

// Nothing was asked yet, or something new begins.
export function clearAnswer() {
  shown = { text: "", state: "", running: false, nothing: shown.nothing };
  stand("", "");
  accountFor([]);
  draw();
}

export function waitFor({ wait, share, account }) {
  shown.running = true;
  stand("running", wait ?? words("json.sent"), "", [], share);
  if (account) accountFor(account);
  draw();
}

export function more(text, tokens) {
  shown.text += text;
  shown.running = true;
  stand("running", words("json.writing", { tokens: tokens.toLocaleString() }));
  draw();
}

// How it ended: `told` is what the server says of the run.
export function ended(told, text = shown.text) {
  shown = { ...told, text, running: false, nothing: shown.nothing };
  stand(told.state, told.line, told.detail ?? "", told.facts ?? []);
  if (told.account) accountFor(told.account);
  draw();
  announce([told.line, told.detail].filter(Boolean).join(" "));
}

export function failed(error) {
  ended({ state: "failed", line: error.message, detail: error.detail ?? "" });
}

// The form changed: the code is of what stands there now.
export function requestChanged() {
  if (view !== "code") return;
  clearTimeout(code);
  code = setTimeout(drawCode, 300);
}

function stand(state, line, detail = "", facts = [], share = null) {
  standing.dataset.state = state;
  const parts = [];
  if (line) parts.push(element("b", line));
  if (facts.length) {
    const row = element("span", "", "qw-facts");
    row.append(...facts.map((fact) => element("span", fact)));
    parts.push(row);
  }
  if (detail) {
    const small = element("small", detail);
    // The errors' own words are English.
    if (state === "failed") small.lang = "en";
    parts.push(small);
  }
  if (share !== null && share !== undefined) {
    const bar = document.createElement("progress");
    bar.max = 100;
    bar.value = share;
    bar.setAttribute("aria-label", line);
    parts.push(bar);
  }
  standing.replaceChildren(...parts);
}

// How the documents were read for it, and what of them was left out.
function accountFor(lines) {
  const place = root.querySelector("[data-json=account]");
  place.hidden = !lines.length;
  place.replaceChildren(...lines.map((line) => element("p", line)));
}

function draw() {
  const { text, state, running, id } = shown;
  const there = view !== "code", whole = there && state === "valid" && id;
  offer("[data-do=json-copy]", there && text);
  offer("[data-json=file]", whole, `./ui/json/runs/${id}/answer.json`);
  offer("[data-json=csv]", whole && shown.csv, `./ui/json/runs/${id}/table.csv`);
  if (view === "code") return void drawCode();
  clearTimeout(code);
  if (!text) return out.replaceChildren(...(running || state ? [] : shown.nothing));
  const folding = view === "pretty" && !running ? treeOf(text) : null;
  if (folding) return out.replaceChildren(folding);
  const lines = document.createElement("pre");
  const plain = view === "raw" || text.length > COLOURED;
  lines.append(view === "raw" ? text : plain ? flow(text) : coloured(flow(text)));
  const low = out.scrollHeight - out.scrollTop - out.clientHeight < 40;
  out.replaceChildren(lines);
  if (running && low) out.scrollTop = out.scrollHeight;
}

function offer(selector, wanted, address) {
  const control = root.querySelector(selector);
  control.hidden = !wanted;
  if (wanted && address) control.href = address;
}

async function drawCode() {
  const asked = request();
  try {
    const { curl, python } = await post("json/code", {
      ...asked,
      at: location.origin + location.pathname,
    });
    if (view !== "code") return;
    const parts = [
      [words("json.curl"), curl],
      [words("json.python"), python],
    ].map(([title, text]) => {
      const section = document.createElement("section");
      const lines = document.createElement("pre");
      lines.tabIndex = 0;
      lines.append(element("code", text));
      const button = element("button", words("chat.copy"), "qw-copy");
      button.type = "button";
      button.dataset.do = "copy-code";
      section.append(element("h3", title), lines, button);
      return section;
    });
    out.replaceChildren(...parts);
  } catch {
    if (view === "code") out.replaceChildren(element("p", words("json.code_wait"), "qw-quiet"));
  }
}

function copy(event) {
  const node = view === "pretty" ? tree(shown.text) : null;
  copyText(node ? layout(node) : shown.text, event.currentTarget);
}

function element(tag, text, look) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (look) made.className = look;
  return made;
}
