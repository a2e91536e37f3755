// The warning that memory runs out, above every tab. The server puts it in words; here it is shown
// once for each time, until it is closed or there is memory again.
import { session } from "./memory.js";

const CLOSED = "qw-warning-closed";
let shown = "";

export function warn(html) {
  const place = document.querySelector(".qw-warning");
  if (!place || (html === shown && place.hidden === !html)) return;
  if (html !== shown) place.innerHTML = html;
  shown = html;
  // When it began: counted warnings would begin anew with the server.
  const began = place.firstElementChild?.dataset.began;
  place.hidden = !html || session.getItem(CLOSED) === began;
  place.querySelector("[data-do=warning-close]")?.addEventListener("click", () => {
    session.setItem(CLOSED, began);
    place.hidden = true;
  });
}
