// The dialog of one document: what was read of each page, the text of a page, and reading by OCR.
import { announce, ask, post, readLines, words } from "./bus.js";
import { button, show } from "./dialog.js";

let opened = { id: "", name: "", updated: () => {} };

export async function openDiagnosis(id, name, updated = () => {}) {
  opened = { id, name, updated };
  const html = await fetched(`documents/${id}/diagnosis`);
  if (html !== null && opened.id === id) put(html);
}

export function startDiagnosis() {
  document.addEventListener("click", (event) => {
    const control = event.target.closest("#qw-dialog [data-page], #qw-dialog [data-recognise]");
    if (!control) return;
    if (control.dataset.page) openPage(control.dataset.page);
    else recognise(control);
  });
}

function put(html) {
  const dialog = show(opened.name, html, "qw-document-dialog");
  dialog.querySelector(".qw-dialog-body").scrollTop = 0;
}

async function fetched(path) {
  try {
    return await (await ask(path)).text();
  } catch {
    announce(words("errors.title"));
    return null;
  }
}

async function openPage(number) {
  const body = document.querySelector("#qw-dialog .qw-dialog-body"), scroll = body.scrollTop;
  const pages = [...body.childNodes];
  const html = await fetched(`documents/${opened.id}/pages/${number}`);
  if (html === null) return;
  put(html);
  const back = button(words("documents.back"), "qw-plain qw-back", () => {
    body.replaceChildren(...pages);
    body.scrollTop = scroll;
    body.querySelector(`[data-page="${number}"]`)?.focus();
  });
  body.prepend(back);
  back.focus();
}

async function recognise(control) {
  const { id, updated } = opened;
  const state = control.parentElement.querySelector("[data-ocr-state]");
  const bar = document.createElement("progress");
  const text = document.createElement("span");
  bar.max = 100;
  text.textContent = words("documents.recognising_begun");
  bar.setAttribute("aria-label", text.textContent);
  control.hidden = true;
  state.replaceChildren(text, bar);
  let last = {};
  try {
    const response = await post(`documents/${id}/recognise`, {}, undefined, true);
    await readLines(response.body, (line) => {
      last = line;
      if (!line.text) return;
      text.textContent = line.text;
      if (typeof line.share === "number") bar.value = line.share;
    });
    if (!last.document) throw new Error(last.error?.text ?? words("documents.lost"));
    updated(last.document);
    announce(words("documents.ocr_done"));
    if (opened.id === id && document.querySelector(`#qw-dialog[open] [data-of="${id}"]`))
      await openDiagnosis(id, opened.name, updated);
  } catch (error) {
    control.hidden = false;
    state.replaceChildren(error.message);
    announce(error.message);
  }
}
