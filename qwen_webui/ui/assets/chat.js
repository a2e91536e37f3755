// What the links under messages do, and the keys of the message box.
import { ask, conversation, copyText, put, tell, textBox, words } from "./bus.js";

const ACT = /^#qw-(copy|edit|regenerate|retry|example)-(\d+)$/;

export function startChat() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.qw-act");
    const match = link && ACT.exec(link.getAttribute("href"));
    if (match) {
      event.preventDefault();
      act(match[1], match[2], link);
    }
    const control = event.target.closest("[data-do=edit-cancel],[data-do=copy-code]");
    if (control?.dataset.do === "edit-cancel") stopEditing();
    if (control?.dataset.do === "copy-code")
      copyText(control.parentElement.querySelector("code").textContent, control);
  });
  document.addEventListener("keydown", (event) => {
    // These links are buttons by role, so Space presses them too.
    if (event.key === " " && event.target.matches("a.qw-act")) {
      event.preventDefault();
      event.target.click();
    }
    const here = document.documentElement.dataset.tab === "chat";
    if (event.key === "Escape" && here && !document.querySelector("dialog[open]"))
      document.querySelector("#qw-stop")?.click();
  });
  new MutationObserver(name).observe(document.body, {
    childList: true,
    subtree: true,
    attributes: true,
    attributeFilter: ["aria-label"],
  });
}

async function act(kind, place, link) {
  if (kind === "copy") {
    const text = (await ask(`message/${conversation()}/${place}`)).text();
    await copyText(await text, link);
  } else if (kind === "edit") {
    tell("edit", place);
    textBox()?.focus();
  } else if (kind === "example") tell("example", place);
  else tell("regenerate", place);
}

// The boxes are emptied here and now: what is sent next must not replace anything.
function stopEditing() {
  put(document.querySelector("#qw-do-editing textarea, #qw-do-editing input"), "");
  put(textBox(), "");
  tell("edit-cancel");
  textBox().focus();
}

// The chat component names each message by its whole text, markup and all; a name is enough.
function name() {
  for (const part of document.querySelectorAll("#qw-chat [data-testid][aria-label]")) {
    const who = part.dataset.testid === "user" ? "chat.you" : "chat.assistant";
    part.removeAttribute("aria-label");
    const row = part.closest(".message-row");
    row?.setAttribute("role", "group");
    row?.setAttribute("aria-label", words(who));
  }
  const log = document.querySelector("#qw-chat [role=log]");
  if (log && log.getAttribute("aria-label") !== words("chat.label")) {
    log.setAttribute("aria-label", words("chat.label"));
    log.tabIndex = 0;
  }
}

