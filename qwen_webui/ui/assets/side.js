// The list of conversations: opening, the menu of each, and the address that finds one again.
import { conversation, put, tell, textBox, words } from "./bus.js";
import { confirm, prompt } from "./dialog.js";
import { closeDrawers } from "./frame.js";
import { go } from "./turns.js";

export function startSide() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-open]");
    const dots = event.target.closest("[data-menu]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      open(link.dataset.open);
      closeDrawers();
    }
    if (event.target.closest("#qw-new")) {
      go();
      put(textBox(), "");
      closeDrawers();
      textBox().focus();
    }
    const shown = document.getElementById("qw-menu");
    if (shown && !shown.contains(event.target)) closeMenu(false);
    if (dots && shown?.dataset.of !== dots.dataset.menu) openMenu(dots);
  });
  // A step back to another tab leaves the conversation as it is, and its answer being written.
  window.addEventListener("popstate", () => {
    if (inAddress() !== conversation()) open(inAddress());
  });
  window.addEventListener("resize", () => closeMenu(false));
  new MutationObserver(follow).observe(document.body, { childList: true, subtree: true });
}

function open(id) {
  go();
  tell("open", id);
}

const inAddress = () => new URLSearchParams(location.search).get("c") ?? "";

// The address follows the page, so a reload or a bookmark finds the conversation again.
function follow() {
  const list = document.querySelector("#qw-conversations .qw-list");
  if (!list || list.dataset.current === inAddress()) return;
  const address = new URL(location.href);
  if (list.dataset.current) address.searchParams.set("c", list.dataset.current);
  else address.searchParams.delete("c");
  history.pushState(null, "", address);
}

function openMenu(dots) {
  const { menu: id, title } = dots.dataset;
  const menu = document.createElement("div");
  menu.id = "qw-menu";
  menu.dataset.of = id;
  menu.setAttribute("role", "menu");
  menu.append(
    item(words("side.rename"), () =>
      prompt(words("side.rename_title"), words("side.rename_label"), title, (name) =>
        tell("rename", `${id} ${name}`),
      ),
    ),
    download(words("side.export_md"), `./ui/export/${id}.md`),
    download(words("side.export_json"), `./ui/export/${id}.json`),
    item(words("side.delete"), () =>
      confirm(
        words("side.delete_title"),
        words("side.delete_text", { title }),
        words("side.delete"),
        () => tell("delete", id),
      ),
    ),
  );
  document.body.append(menu);
  const box = dots.getBoundingClientRect();
  const left = Math.min(box.left, innerWidth - menu.offsetWidth - 8);
  const below = box.bottom + 4 + menu.offsetHeight < innerHeight;
  menu.style.left = `${Math.max(8, left)}px`;
  menu.style.top = `${below ? box.bottom + 4 : box.top - menu.offsetHeight - 4}px`;
  dots.setAttribute("aria-expanded", "true");
  menu.addEventListener("keydown", walk);
  menu.firstElementChild.focus();
}

function closeMenu(back) {
  const menu = document.getElementById("qw-menu");
  if (!menu) return;
  const dots = document.querySelector(`[data-menu="${menu.dataset.of}"]`);
  menu.remove();
  dots?.setAttribute("aria-expanded", "false");
  if (back) dots?.focus();
}

function walk(event) {
  const items = [...event.currentTarget.children];
  const here = items.indexOf(document.activeElement);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) items[(here + step + items.length) % items.length].focus();
  else if (event.key === "Home") items[0].focus();
  else if (event.key === "End") items.at(-1).focus();
  else if (event.key === "Escape" || event.key === "Tab") closeMenu(true);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

function item(text, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.setAttribute("role", "menuitem");
  made.addEventListener("click", () => {
    closeMenu(true);
    act();
  });
  return made;
}

function download(text, address) {
  const made = document.createElement("a");
  made.textContent = text;
  made.href = address;
  made.download = "";
  made.setAttribute("role", "menuitem");
  made.addEventListener("click", () => closeMenu(true));
  return made;
}

export function clearConversation() {
  if (!conversation()) return;
  confirm(
    words("chat.clear_title"),
    words("chat.clear_text"),
    words("chat.clear_confirm"),
    () => {
      go();
      tell("clear");
    },
  );
}
