// The frame: side columns that open and close, language, light and dark, the dialog for programs.
import { ask, put, textBox, words } from "./bus.js";
import { show } from "./dialog.js";
import { local, session } from "./memory.js";
import { clearConversation } from "./side.js";

const root = document.documentElement;
const NARROW = matchMedia("(max-width: 820px)"), MEDIUM = matchMedia("(max-width: 1180px)");
const keep = (key, value) => local.setItem(`qw-${key}`, value);
const kept = (key) => local.getItem(`qw-${key}`);
let opener = null;

export function startFrame() {
  settle();
  NARROW.addEventListener("change", settle);
  MEDIUM.addEventListener("change", settle);
  document.addEventListener("click", (event) => {
    const control = event.target.closest("[data-do]");
    const act = control && ACTS[control.dataset.do];
    if (act) act(control);
    else if (overlay() && !event.target.closest("#qw-side, #qw-panel, dialog, #qw-menu"))
      closeDrawers();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && overlay() && !document.querySelector("dialog[open]"))
      closeDrawers();
  });
  // Whatever reloads the page (Gradio does when the server was restarted), a draft comes along.
  window.addEventListener("pagehide", () =>
    session.setItem("qw-draft", textBox()?.value ?? ""),
  );
  whenThere("#qw-text textarea", restore);
  whenThere("#qw-side", roles);
  new MutationObserver(paint).observe(document.body, { attributeFilter: ["class"] });
  paint();
}

const ACTS = {
  side: (control) => toggle("side", control),
  panel: (control) => toggle("panel", control),
  clear: clearConversation,
  language: switchLanguage,
  theme: switchTheme,
  logout: async () => {
    await fetch("./logout", { method: "POST", redirect: "manual" });
    location.reload();
  },
  about: async () => {
    const here = location.origin + location.pathname;
    const html = await (await ask(`about?at=${encodeURIComponent(here)}`)).text();
    show(words("about.title"), html, "qw-about-dialog");
  },
};

// Wide: both columns stand beside the chat. Narrow: each covers it, one at a time.
function settle() {
  root.dataset.side = NARROW.matches || kept("side") === "closed" ? "closed" : "open";
  root.dataset.panel = MEDIUM.matches || kept("panel") === "closed" ? "closed" : "open";
}

const covers = (which) => (which === "side" ? NARROW.matches : MEDIUM.matches);
const overlay = () => ["side", "panel"].find((w) => covers(w) && root.dataset[w] === "open");

function toggle(which, control) {
  if (root.dataset[which] === "open") {
    root.dataset[which] = "closed";
    if (!covers(which)) keep(which, "closed");
    opener?.isConnected && opener.focus();
    return;
  }
  root.dataset[which] = "open";
  if (!covers(which)) return keep(which, "open");
  opener = control;
  document.querySelector(`#qw-${which} button`)?.focus();
}

export function closeDrawers() {
  const open = overlay();
  if (!open) return;
  root.dataset[open] = "closed";
  opener?.isConnected && opener.focus();
}

// All texts come in the other language with the document.
function switchLanguage() {
  const other = window.qw.language === "zh" ? "en" : "zh";
  // In a frame of another site only such a cookie is kept.
  const framed = window.top !== window && isSecureContext;
  const same = framed ? "none; secure; partitioned" : "lax";
  document.cookie = `qw_lang=${other}; path=/; max-age=31536000; samesite=${same}`;
  location.reload();
}

function restore(box) {
  const draft = session.getItem("qw-draft");
  session.removeItem("qw-draft");
  if (draft) put(box, draft);
}

function switchTheme() {
  keep("theme", document.body.classList.contains("dark") ? "light" : "dark");
  paint();
}

// Gradio follows the system; a choice made here wins.
function paint() {
  const wish = kept("theme");
  if (wish && (wish === "dark") !== document.body.classList.contains("dark"))
    document.body.classList.toggle("dark", wish === "dark");
}

// Gradio's columns are plain boxes; these say what they are.
function roles() {
  for (const [id, role, key] of [
    ["qw-side", "navigation", "page.sidebar"],
    ["qw-panel", "complementary", "page.panel"],
  ]) {
    const part = document.getElementById(id);
    part?.setAttribute("role", role);
    part?.setAttribute("aria-label", words(key));
  }
}

export function whenThere(selector, act) {
  const there = document.querySelector(selector);
  if (there) return act(there);
  new MutationObserver((_, observer) => {
    const found = document.querySelector(selector);
    if (!found) return;
    observer.disconnect();
    act(found);
  }).observe(document.body, { childList: true, subtree: true });
}
