// Events of our own HTML on their way to Python: a value goes into a hidden box of Gradio's and
// Enter is pressed there. One box an event, see parts.hidden_event.

export const words = (key, values = {}) =>
  (window.qw.words[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

export function tell(event, value = "") {
  const box = document.querySelector(`#qw-do-${event} textarea, #qw-do-${event} input`);
  if (!box) return false;
  put(box, String(value));
  box.dispatchEvent(new KeyboardEvent("keypress", { key: "Enter", bubbles: true }));
  return true;
}

// As if someone had typed it: Gradio hears of it.
export function put(box, text) {
  box.value = text;
  box.dispatchEvent(new Event("input", { bubbles: true }));
}

export const textBox = () => document.querySelector("#qw-text textarea");

export const conversation = () =>
  document.querySelector("#qw-conversations .qw-list")?.dataset.current ?? "";

// One of our own routes, relative to the page, so that a proxy's prefix is kept.
export async function ask(path) {
  const response = await fetch(`./ui/${path}`, { credentials: "same-origin" });
  // The login is over: the page itself leads to it, and back here.
  if (response.status === 401) location.reload();
  if (!response.ok) throw new Error(`${response.status} for ${path}`);
  return response;
}

// Send values to one of our own routes. What it refuses is an Error in the reader's language, with a
// `detail`. Gives back its JSON, or the response itself when `whole`.
export async function post(path, values, signal, whole = false) {
  const response = await fetch(`./ui/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(values),
    signal,
  });
  if (response.ok) return whole ? response : response.json();
  const { error } = await response.json().catch(() => ({}));
  throw Object.assign(new Error(error?.text ?? error?.message ?? words("errors.title")), {
    detail: error?.detail ?? "",
  });
}

// One JSON value a line of an answer, as they come.
export async function readLines(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line) take(JSON.parse(line));
  }
}

export async function copyText(text, control) {
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else copyWithoutClipboard(text);
  control.classList.add("qw-done");
  announce(words("chat.copied"));
  setTimeout(() => control.classList.remove("qw-done"), 1500);
}

// Browsers lend the clipboard only to pages over https or from this very computer.
function copyWithoutClipboard(text) {
  const box = document.createElement("textarea");
  box.value = text;
  document.body.append(box);
  box.select();
  document.execCommand("copy");
  box.remove();
}

// Said to those who listen to the page instead of looking at it.
export function announce(text) {
  let region = document.getElementById("qw-live");
  if (!region) {
    region = document.createElement("div");
    region.id = "qw-live";
    region.setAttribute("role", "status");
    document.body.append(region);
  }
  region.textContent = text;
}
