// What one document looks like in a row: its name and how it stands, a tick, a way to remove it.
import { words } from "./bus.js";

export function chip(item) {
  const made = element("div", "", "qw-doc");
  if (item.error) made.classList.add("qw-doc-wrong");
  if (item.id && !item.asked) made.classList.add("qw-unasked");
  const body = item.id ? element("button", "", "qw-doc-open") : element("div", "", "qw-doc-open");
  body.append(element("b", item.name));
  if (item.error) body.append(...item.error.map(sentence));
  else if (item.running) body.append(element("span", item.text));
  else {
    body.append(element("span", item.about));
    if (item.warning) body.append(element("span", item.warning, "qw-doc-warning"));
  }
  if (item.id) {
    const tick = document.createElement("input");
    tick.type = "checkbox";
    // Both, for the comparison of chips looks at attributes alone.
    tick.toggleAttribute("checked", item.asked);
    tick.dataset.ask = item.id;
    tick.setAttribute("aria-label", words("documents.ask", item));
    body.type = "button";
    body.dataset.diagnose = item.id;
    body.title = words("documents.open", item);
    made.append(tick);
  } else body.title = item.name;
  made.append(body);
  if (item.running) made.append(progress(item));
  const cross = element("button", "", "qw-icon qw-icon-close");
  cross.type = "button";
  cross.dataset.remove = item.id ?? "";
  const label = item.error ? "dismiss" : item.running ? "cancel" : "remove";
  cross.title = words(`documents.${label}`, item);
  cross.setAttribute("aria-label", cross.title);
  made.append(cross);
  return made;
}

// Where the reader's language has said what it means, the error's own words come after, in English.
function sentence(text, at) {
  const made = element(at ? "small" : "span", text);
  if (at) made.lang = "en";
  return made;
}

function progress({ name, share, text }) {
  const bar = document.createElement("progress");
  bar.max = 100;
  if (typeof share === "number") bar.setAttribute("value", share);
  bar.setAttribute("aria-label", `${name}: ${text}`);
  return bar;
}

function element(tag, text, look) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (look) made.className = look;
  return made;
}
