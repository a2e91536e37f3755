// Documents of the chat: the paper clip, files dropped on it, texts that are too long; and a message
// that waits until what it asks about was read.
import { put, tell, textBox, words } from "./bus.js";
import { startDiagnosis } from "./diagnosis.js";
import { Row } from "./documents.js";
import { whenThere } from "./frame.js";
import { go } from "./turns.js";

let row = null, shown = null;
// Rows that take files: by the place in which one is dropped or chosen.
const rows = new Map();

export function startAttach() {
  startDiagnosis();
  whenThere("[data-documents=chat]", begin);
  document.addEventListener("click", clicked);
  document.addEventListener("change", chosen);
  document.addEventListener("keypress", hold, true);
  document.addEventListener("click", hold, true);
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"])
    document.addEventListener(kind, dragged);
}

// The JSON tab's row takes files while that tab is in view.
export const register = (tab, taker) => rows.set(tab, taker);

function begin(host) {
  row = new Row({ host, changed, begun });
  register("chat", row);
  follow();
  new MutationObserver(follow).observe(document.body, { childList: true, subtree: true });
}

// The chips are those of the conversation in view.
function follow() {
  const list = document.querySelector("#qw-conversations .qw-list");
  if (!list || list.dataset.current === shown) return;
  const before = shown;
  shown = list.dataset.current;
  // A blank page that became a conversation keeps its documents and what is on its way.
  if (before === "" && shown && row.place.conversation === shown) return;
  row.show(shown);
}

function begun(id) {
  go();
  tell("adopt", id);
}

function changed() {
  const box = document.querySelector("#qw-do-documents textarea, #qw-do-documents input");
  const ids = row?.ids().join(",") ?? "";
  if (box && box.value !== ids) put(box, ids);
}

function hold(event) {
  if (!row?.busy()) return;
  const sends =
    event.type === "click"
      ? event.target.closest("#qw-send")
      : event.key === "Enter" && !event.shiftKey && event.target === textBox();
  if (!sends || !textBox().value.trim()) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  row.whenRead(() =>
    textBox()?.dispatchEvent(new KeyboardEvent("keypress", { key: "Enter", bubbles: true })),
  );
}

function clicked(event) {
  const control = event.target.closest("[data-do=attach],[data-do=attach-text]");
  if (control?.dataset.do === "attach")
    control.closest("#qw-attach, .qw-json-ask").querySelector("[data-attach-files]").click();
  if (control?.dataset.do === "attach-text") attachText(control);
}

async function attachText(control) {
  const text = textBox().value;
  control.disabled = true;
  const taken = await row.paste(text);
  control.disabled = false;
  // What was typed meanwhile is not thrown away.
  if (taken && textBox().value === text) put(textBox(), "");
  textBox().focus();
}

function chosen(event) {
  if (!event.target.matches?.("[data-attach-files]")) return;
  const tab = event.target.closest(".qw-json") ? "json" : "chat";
  rows.get(tab)?.add([...event.target.files]);
  // The same file may be chosen again.
  event.target.value = "";
  if (tab === "chat") textBox()?.focus();
}

const target = () => rows.get(document.documentElement.dataset.tab);

function dragged(event) {
  if (!event.dataTransfer?.types.includes("Files") || document.querySelector("dialog[open]")) return;
  // Anywhere on the page, or the browser would leave it for the file.
  event.preventDefault();
  const main = document.getElementById("qw-main");
  const over = event.type === "drop" || (event.type === "dragleave" && !event.relatedTarget);
  main?.classList.toggle("qw-dropping", !over);
  if (main) main.dataset.drop = words("documents.drop");
  if (event.type === "drop") target()?.add([...event.dataTransfer.files]);
}
