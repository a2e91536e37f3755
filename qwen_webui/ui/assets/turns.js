// One thing after the other: while the page goes to another conversation nothing is sent, or it
// would land in the one before. What is sent meanwhile is held back and sent when the page is there.
import { textBox } from "./bus.js";

const PATIENCE = 8000;
let going = false, held = false, timer = 0, list = null;

// The page goes somewhere; it has arrived when the list of conversations was drawn anew.
export function go() {
  going = true;
  clearTimeout(timer);
  timer = setTimeout(arrive, PATIENCE);
}

export function startTurns() {
  go();
  new MutationObserver(() => {
    const now = document.querySelector("#qw-conversations .qw-list");
    if (!now || now === list) return;
    list = now;
    // What came together with the list is drawn by then.
    setTimeout(arrive, 50);
  }).observe(document.body, { childList: true, subtree: true });
  document.addEventListener("keypress", hold, true);
  document.addEventListener("click", hold, true);
}

function hold(event) {
  if (!going) return;
  const sends =
    event.type === "click"
      ? event.target.closest("#qw-send")
      : event.key === "Enter" && !event.shiftKey && event.target === textBox();
  if (!sends) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  held = true;
}

function arrive() {
  if (!going) return;
  going = false;
  if (!held) return;
  held = false;
  textBox()?.dispatchEvent(new KeyboardEvent("keypress", { key: "Enter", bubbles: true }));
}
