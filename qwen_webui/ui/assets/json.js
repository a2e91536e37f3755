// The JSON tab: examples, the form, the run, and the runs that were kept. The editor, the answer and
// the tree are in the files beside this one; the server checks all that is sent from here.
import { announce, ask, post, put, readLines, words } from "./bus.js";
import { button, close, confirm, show } from "./dialog.js";
import { check, formatSchema, schemaText, setSchema, startEditor } from "./jsoneditor.js";
import * as answer from "./jsonanswer.js";
import { closeDrawers, whenThere } from "./frame.js";
import { askDocuments, documentIds, startDocuments, whenRead } from "./jsondocuments.js";
import { session } from "./memory.js";
import { inAddress, setAddress } from "./tabs.js";

const FORM = "qw-json-form";
let root, prompt, most, examples = [], running = null, current = "";

export function startJson() {
  whenThere("#qw-json .qw-json", begin);
  whenThere("#qw-runs [data-runs]", list);
  document.addEventListener("click", clicked);
  document.addEventListener("keydown", pressed);
  window.addEventListener("pagehide", keepForm);
  window.addEventListener("qw-address", follow);
}

async function begin(found) {
  root = found;
  prompt = root.querySelector("#qw-json-prompt");
  most = root.querySelector("#qw-json-most");
  startEditor(root, edited);
  answer.startAnswer(root, request);
  startDocuments(root, edited);
  for (const field of [prompt, most]) field.addEventListener("input", edited);
  bringForm();
  follow();
  examples = await (await ask("json/examples")).json();
  root.querySelector("[data-json=examples]").replaceChildren(...examples.map(chip));
  mark();
}

const request = () => ({
  prompt: prompt.value,
  schema: schemaText(),
  max_new_tokens: most.value.trim() === "" ? null : most.valueAsNumber,
  documents: documentIds(),
});

// What a reload or another language must not cost.
function keepForm() {
  if (root) session.setItem(FORM, JSON.stringify(request()));
}

function bringForm() {
  const kept = JSON.parse(session.getItem(FORM) ?? "null");
  session.removeItem(FORM);
  if (kept) fill(kept);
}

function fill({ prompt: text, schema, max_new_tokens, documents = [] }) {
  askDocuments(documents);
  put(prompt, text);
  put(most, max_new_tokens ?? "");
  setSchema(schema);
  check();
}

function edited() {
  answer.requestChanged();
  mark();
}

function chip(example) {
  const made = button(example.title, "qw-chip-button", () => {
    leave();
    fill({ ...example, max_new_tokens: most.valueAsNumber || 1024 });
    answer.clearAnswer();
    setAddress({ run: "" });
    mark();
  });
  made.title = example.description;
  made.dataset.example = example.id;
  return made;
}

// Which example stands in the form, and what it is about.
function mark() {
  const here = examples.find((one) => one.schema === schemaText() && one.prompt === prompt.value);
  for (const made of root.querySelectorAll("[data-example]"))
    made.setAttribute("aria-pressed", String(made.dataset.example === here?.id));
  root.querySelector("[data-json=about]").textContent = here?.description ?? words("json.examples_hint");
}

function clicked(event) {
  const control = event.target.closest("[data-do],[data-run],[data-delete-run]");
  if (!control || !root) return;
  const { do: act, run, deleteRun, title } = control.dataset;
  if (run && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    closeDrawers();
    setAddress({ run });
  } else if (deleteRun)
    confirm(
      words("json.delete_title"),
      words("json.delete_text", { title }),
      words("side.delete"),
      () => forget(deleteRun),
    );
  else if (act === "json-run") whenRead(start);
  else if (act === "json-stop") stop();
  else if (act === "json-format" && !formatSchema()) announce(words("json.format_failed"));
  else if (act === "json-infer") infer();
  else if (act === "json-new") {
    closeDrawers();
    leave();
    fill({ prompt: "", schema: "", max_new_tokens: 1024 });
    answer.clearAnswer();
    setAddress({ run: "" });
    mark();
    prompt.focus();
  }
}

function pressed(event) {
  if (inAddress("tab") !== "json" || !root) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && root.contains(event.target)) {
    event.preventDefault();
    whenRead(start);
  }
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) stop();
}

async function start() {
  if (running) return;
  const ticket = [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
  const mine = { ticket, leave: new AbortController() };
  running = mine;
  buttons();
  current = "";
  setAddress({ run: "" });
  answer.clearAnswer();
  answer.waitFor({});
  // Where the answer stands below the form, it comes into view.
  if (getComputedStyle(root).display === "flex")
    root.querySelector(".qw-json-answer").scrollIntoView({ block: "start" });
  try {
    const response = await post("json/run", { ...request(), ticket }, mine.leave.signal, true);
    await readLines(response.body, (line) => running === mine && take(line));
    if (running === mine && mine.open !== false) throw new Error(words("page.lost"));
  } catch (error) {
    if (running !== mine) return;
    if (mine.leave.signal.aborted)
      answer.ended({ state: "stopped", line: words("json.stopped") });
    else answer.failed(error);
  } finally {
    if (running === mine) running = null;
    buttons();
    list();
  }
}

function take(line) {
  if (line.end) {
    running.open = false;
    answer.ended(line.end);
    current = line.end.id;
    if (current) setAddress({ run: current }, true);
  } else if (line.text !== undefined) answer.more(line.text, line.tokens);
  else answer.waitFor(line);
}

function stop() {
  if (!running) return;
  const mine = running;
  post("json/stop", { ticket: mine.ticket }).catch(() => mine.leave.abort());
  // To go away stops it as well, should the server not have heard of the run yet.
  setTimeout(() => running === mine && mine.leave.abort(), 1500);
}

// The form goes on to something else: what is still written for it is stopped and not shown.
function leave() {
  running?.leave.abort();
  running = null;
  current = "";
  if (root) buttons();
}

function buttons() {
  const stopButton = root.querySelector("#qw-json-stop"), runButton = root.querySelector("#qw-json-run");
  const focused = [stopButton, runButton].includes(document.activeElement);
  stopButton.hidden = !running;
  runButton.hidden = Boolean(running);
  if (focused) (running ? stopButton : runButton).focus();
}

// The run in the address is the one on the page.
async function follow() {
  const wanted = inAddress("tab") === "json" ? inAddress("run") : current;
  if (!root || !wanted || wanted === current) return list();
  leave();
  current = wanted;
  try {
    const run = await (await ask(`json/runs/${encodeURIComponent(wanted)}`)).json();
    if (current !== wanted) return;
    fill(run);
    answer.ended(run, run.answer);
    mark();
  } catch {
    answer.failed(new Error(words("json.gone")));
    setAddress({ run: "" }, true);
  }
  list();
}

async function list() {
  const place = document.querySelector("#qw-runs [data-runs]");
  if (!place) return;
  const html = await (await ask(`json/runs?current=${current}`)).text();
  // Made by our own server, with every foreign word escaped.
  if (place.innerHTML !== html) place.innerHTML = html;
}

async function forget(id) {
  const response = await fetch(`./ui/json/runs/${id}`, { method: "DELETE" });
  if (!response.ok) announce(words("errors.title"));
  if (id === current) {
    current = "";
    setAddress({ run: "" }, true);
    answer.clearAnswer();
  }
  await list();
  document.querySelector("#qw-runs [data-runs]").focus();
}

function infer() {
  const field = document.createElement("label");
  const box = document.createElement("textarea");
  box.rows = 10;
  box.spellcheck = false;
  box.placeholder = '{"name": "Mira", "age": 34}';
  field.append(words("json.infer_lead"), box);
  const wrong = document.createElement("p");
  wrong.className = "qw-wrong";
  wrong.setAttribute("role", "alert");
  const make = button(words("json.infer_make"), "qw-primary", async () => {
    try {
      const { schema } = await post("json/infer", { example: box.value });
      close();
      setSchema(schema, { undo: true });
      formatSchema();
      check();
    } catch (error) {
      wrong.textContent = [error.message, error.detail].filter(Boolean).join(" ");
      box.focus();
    }
  });
  const row = document.createElement("div");
  row.className = "qw-row";
  row.append(button(words("side.cancel"), "qw-plain", close), make);
  show(words("json.infer_title"), [field, wrong, row], "qw-infer-dialog");
  box.focus();
}
