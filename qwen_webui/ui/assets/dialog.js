// One native dialog for everything that is asked or shown on top of the page.
import { words } from "./bus.js";

function build() {
  const dialog = document.createElement("dialog");
  dialog.id = "qw-dialog";
  dialog.setAttribute("aria-labelledby", "qw-dialog-title");
  const head = document.createElement("header");
  const title = document.createElement("h2");
  title.id = "qw-dialog-title";
  const close = button(words("page.close"), "qw-icon qw-icon-close", () => dialog.close());
  close.setAttribute("aria-label", close.textContent);
  close.textContent = "";
  head.append(title, close);
  const body = document.createElement("div");
  body.className = "qw-dialog-body";
  dialog.append(head, body);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  return dialog;
}

export function button(text, look, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = look;
  made.textContent = text;
  made.addEventListener("click", act);
  return made;
}

export function show(title, content, look = "") {
  const dialog = document.getElementById("qw-dialog") ?? build();
  dialog.className = look;
  dialog.querySelector("h2").textContent = title;
  const body = dialog.querySelector(".qw-dialog-body");
  // A string is HTML that our own server made, with every foreign word escaped.
  if (typeof content === "string") body.innerHTML = content;
  else body.replaceChildren(...content);
  if (!dialog.open) dialog.showModal();
  return dialog;
}

export const close = () => document.getElementById("qw-dialog")?.close();

const paragraph = (text) => {
  const made = document.createElement("p");
  made.textContent = text;
  return made;
};

function row(...buttons) {
  const made = document.createElement("div");
  made.className = "qw-row";
  made.append(button(words("side.cancel"), "qw-plain", close), ...buttons);
  return made;
}

export function confirm(title, text, yes, act) {
  const go = button(yes, "qw-danger", () => {
    close();
    act();
  });
  show(title, [paragraph(text), row(go)], "qw-small-dialog");
  document.querySelector("#qw-dialog .qw-plain").focus();
}

export function prompt(title, label, value, act) {
  const form = document.createElement("form");
  const field = document.createElement("label");
  const input = document.createElement("input");
  input.value = value;
  input.maxLength = 200;
  input.required = true;
  field.append(label, input);
  const save = button(words("side.save"), "qw-primary", () => form.requestSubmit());
  form.append(field, row(save));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!input.value.trim()) return;
    close();
    act(input.value.trim());
  });
  show(title, [form], "qw-small-dialog");
  input.select();
}
