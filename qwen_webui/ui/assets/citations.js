// What stands behind an answer about documents: its citations on their pages, and what was read.
import { announce, ask, conversation, words } from "./bus.js";
import { show } from "./dialog.js";

const LINK = /^#qw-(cite|page|sources)-(\d+)(?:-(\d+))?(?:-(\d+))?$/;
let opened = null;

export function startCitations() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.qw-act");
    const match = link && LINK.exec(link.getAttribute("href"));
    if (match) {
      event.preventDefault();
      open(...match.slice(1));
    }
    const turn = event.target.closest("#qw-dialog [data-cite-page]");
    if (turn && opened) turnTo(Number(turn.dataset.citePage), turn);
  });
}

async function open(kind, place, first, second) {
  const base = `message/${conversation()}/${place}`;
  opened = null;
  if (kind === "sources") return put(`${base}/sources`);
  const path = (page) =>
    kind === "page"
      ? `${base}/page/${first}/${page ?? second}`
      : `${base}/citation/${first}${page ? `?page=${page}` : ""}`;
  if (await put(path())) opened = path;
}

async function turnTo(page, control) {
  const look = control.className;
  if (!(await put(opened(page)))) return;
  // The button that was pressed is a new one now.
  const same = [...document.querySelectorAll("#qw-dialog [data-cite-page]")];
  const next = same.find((b) => b.className === look && !b.disabled) ?? same.find((b) => !b.disabled);
  next?.focus();
}

async function put(path) {
  let told;
  try {
    told = await (await ask(path)).json();
  } catch {
    announce(words("errors.title"));
    return false;
  }
  const dialog = show(told.title, told.html, "qw-document-dialog qw-cite-dialog");
  const body = dialog.querySelector(".qw-dialog-body");
  body.scrollTop = 0;
  const text = dialog.querySelector(".qw-page-text");
  if (text) text.scrollTop = 0;
  dialog.querySelector("mark[data-first]")?.scrollIntoView({ block: "center" });
  return true;
}
