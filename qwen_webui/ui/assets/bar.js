// The model in the top bar, and the dialog that chooses another. Asks the server for what is new:
// often while a load is under way, seldom otherwise, hardly while nobody looks.
import { announce, ask, tell, words } from "./bus.js";
import { close, show } from "./dialog.js";
import { warn } from "./warning.js";

const BUSY = 700, IDLE = 4000, HIDDEN = 20000, LOST = 2000;
let server = "", version = "", model = null, busy = false, timer = 0, lost = false, told = "";

export function startBar() {
  document.addEventListener("click", (event) => {
    const control = event.target.closest("[data-do=models],[data-do=cancel],[data-load]");
    if (!control) return;
    if (control.dataset.load) load(control.dataset.load);
    else if (control.dataset.do === "cancel") tell("cancel");
    else choose();
    soon(250);
  });
  document.addEventListener("change", (event) => {
    if (event.target.name === "model") showDetail(event.target.value);
    if (event.target.closest("[data-advice]")) advise(event.target.form);
  });
  document.addEventListener("visibilitychange", () => soon(0));
  // Gradio draws the bar's place some time after this.
  new MutationObserver((_, observer) => {
    if (!document.querySelector(".qw-bar")) return;
    observer.disconnect();
    look();
  }).observe(document.body, { childList: true, subtree: true });
}

async function look() {
  clearTimeout(timer);
  try {
    const response = await ask(`bar?seen=${version}`);
    if (response.status === 200) draw(await response.json());
    connection(true);
  } catch {
    connection(false);
  }
  soon(lost ? LOST : busy ? BUSY : document.hidden ? HIDDEN : IDLE);
}

function soon(wait) {
  clearTimeout(timer);
  timer = setTimeout(look, wait);
}

function draw(bar) {
  // Another server than the one that made this page: begin anew, with the draft and the
  // conversation, before anything is sent that this page could not show.
  if (server && server !== bar.server) return location.reload();
  server = bar.server;
  const place = document.querySelector(".qw-bar");
  if (!place) return;
  const focused = place.contains(document.activeElement) && document.activeElement.dataset.do;
  place.innerHTML = bar.html;
  warn(bar.warning);
  if (focused) place.querySelector(`[data-do=${focused}]`)?.focus();
  version = bar.version;
  busy = bar.busy;
  const state = place.querySelector(".qw-chip").textContent;
  if (told && told !== state) announce(state);
  told = state;
  if (bar.model && bar.model !== model && tell("refresh")) model = bar.model;
}

function connection(there) {
  if (there !== lost) return;
  lost = !there;
  const notice = document.querySelector(".qw-lost");
  if (notice) notice.hidden = !lost;
  if (!lost) {
    announce(words("page.back"));
    version = "";
    tell("refresh");
  }
}

async function choose() {
  try {
    const html = await (await ask("models")).text();
    const dialog = show(words("model.picker_title"), html, "qw-models-dialog");
    (dialog.querySelector("input:checked") ?? dialog.querySelector("button")).focus();
  } catch {
    connection(false);
  }
}

function showDetail(name) {
  for (const part of document.querySelectorAll("#qw-dialog [data-for]"))
    part.hidden = part.dataset.for !== name;
}

// The answer to the last question asked counts, whichever comes first.
let asked = 0;
async function advise(form) {
  const number = ++asked;
  const answer = form.nextElementSibling;
  answer.setAttribute("aria-busy", "true");
  try {
    const html = await (await ask(`advice?${new URLSearchParams(new FormData(form))}`)).text();
    if (number !== asked) return;
    const open = answer.querySelector("details")?.open;
    answer.innerHTML = html;
    if (open) answer.querySelector("details")?.setAttribute("open", "");
    answer.removeAttribute("aria-busy");
  } catch {
    connection(false);
  }
}

function load(name) {
  close();
  tell("load", name);
}
