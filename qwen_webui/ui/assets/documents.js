// A row of documents: a chip each, from the moment a file is chosen until it is removed. What a chip
// says comes from the server; it is shown as text, never as HTML. Used by the chat and the JSON tab.
import { announce, post, words } from "./bus.js";
import { confirm } from "./dialog.js";
import { chip } from "./documentchip.js";
import { openDiagnosis } from "./diagnosis.js";
import { session } from "./memory.js";

// Ids that are not asked, so that a reload does not ask them again.
const UNASKED = "qw-unasked";
const unasked = new Set(JSON.parse(session.getItem(UNASKED) ?? "[]"));

const replace = (old, fresh) => old.isEqualNode(fresh) || old.replaceWith(fresh);

export class Row {
  // `place.conversation`: an id; "": one that the first document begins; null: no conversation.
  // `changed` is called when the documents that are asked, or what is on its way, changed; `begun`
  // when an upload began the conversation of the place; `asked` says whether one that was found is
  // ticked, and `remember` that what is unticked stays so.
  constructor({ host, changed, begun = () => {}, asked = (id) => !unasked.has(id), remember = true }) {
    Object.assign(this, { host, changed, begun, asked, remember, items: [] });
    this.place = { conversation: null };
    this.queue = Promise.resolve();
    host.addEventListener("click", (event) => this.clicked(event));
    host.addEventListener("change", (event) => this.ticked(event));
  }

  here = () => this.items.filter((item) => item.place === this.place);
  ids = () => this.here().filter((item) => item.id && item.asked).map((item) => item.id);
  busy = () => this.here().some((item) => item.running);

  // Do it once all of the documents were read: now, or later, unless one could not be read or the
  // place was left; whoever asked then decides anew.
  whenRead(act) {
    this.pending = this.busy() ? act : null;
    if (this.pending) announce(words("documents.held"));
    else act();
    this.note();
  }

  settle() {
    this.changed();
    if (!this.pending || this.busy()) return this.note();
    const act = this.pending;
    this.pending = null;
    this.note();
    if (!this.here().some((item) => item.error)) act();
  }

  note() {
    const there = this.host.querySelector(".qw-held");
    if (!this.pending) return there?.remove();
    if (there) return;
    const made = document.createElement("p");
    made.className = "qw-held";
    made.textContent = words("documents.held");
    this.host.append(made);
  }

  // Show the documents of a place; what is still on its way to another stays on its way.
  async show(conversation) {
    const known = this.items.find((item) => item.running && item.place.conversation === conversation);
    const place = known && conversation ? known.place : { conversation };
    this.place = place;
    this.pending = null;
    this.items = this.items.filter((item) => item.running);
    this.draw();
    if (conversation === "") return;
    const query = conversation ? `?conversation=${encodeURIComponent(conversation)}` : "";
    const response = await fetch(`./ui/documents${query}`).catch(() => null);
    if (!response?.ok || this.place !== place) return;
    const { documents } = await response.json();
    const kept = documents.map((told) => this.item(told, place));
    const fresh = new Set(documents.map((told) => told.id));
    this.items = [...kept, ...this.items.filter((item) => !fresh.has(item.id))];
    this.draw();
  }

  item = (told, place) => ({ ...told, place, asked: this.asked(told.id) });

  // One after the other: the first may begin the conversation that the others belong to.
  add(files) {
    const place = this.place;
    for (const file of files) {
      const item = { name: file.name, place, running: true, text: words("documents.waiting") };
      this.items.push(item);
      this.queue = this.queue.then(() => this.upload(item, file));
    }
    this.draw();
  }

  async upload(item, file) {
    if (item.removed) return;
    const { conversation } = item.place;
    const query = new URLSearchParams({ name: file.name });
    if (conversation !== null) query.set("conversation", conversation);
    try {
      this.took(item, await send(`./ui/documents?${query}`, file, item, () => this.draw()));
    } catch (error) {
      this.failed(item, error);
    }
  }

  // A text that was pasted becomes a document; false if it could not.
  async paste(text) {
    const place = this.place;
    const item = { name: "…", place, running: true, text: words("documents.arrived") };
    this.items.push(item);
    this.draw();
    try {
      this.took(item, await post("documents/paste", { text, conversation: place.conversation }));
      return true;
    } catch (error) {
      this.failed(item, error);
      return false;
    }
  }

  took(item, { document: told, conversation }) {
    if (item.removed) return;
    Object.assign(item, this.item(told, item.place), { running: false, asked: true });
    delete item.text;
    if (item.place.conversation === "") {
      item.place.conversation = conversation;
      if (item.place === this.place) this.begun(conversation);
    }
    if (item.place === this.place)
      announce([words("documents.ready", told), told.warning].filter(Boolean).join(" "));
    this.draw();
  }

  failed(item, error) {
    if (item.removed) return;
    const said = [error.message, error.detail].filter(Boolean);
    Object.assign(item, { running: false, error: said });
    if (item.place === this.place) announce(`${item.name}: ${said.join(" ")}`);
    this.draw();
  }

  // Ask exactly those of these ids.
  tick(ids) {
    for (const item of this.items) if (item.id) item.asked = ids.has(item.id);
    this.draw();
  }

  update(told) {
    const item = this.items.find((one) => one.id === told.id);
    if (item) Object.assign(item, told);
    this.draw();
  }

  ticked({ target }) {
    const item = this.items.find((one) => one.id && one.id === target.dataset.ask);
    if (!item) return;
    item.asked = target.checked;
    if (this.remember) {
      unasked[item.asked ? "delete" : "add"](item.id);
      session.setItem(UNASKED, JSON.stringify([...unasked]));
    }
    target.closest(".qw-doc").classList.toggle("qw-unasked", !item.asked);
    this.changed();
  }

  clicked(event) {
    const control = event.target.closest("[data-remove],[data-diagnose]");
    if (!control) return;
    const item = this.here()[[...this.host.querySelectorAll(".qw-doc")].indexOf(control.closest(".qw-doc"))];
    if (!item) return;
    if (control.dataset.diagnose !== undefined)
      openDiagnosis(item.id, item.name, (told) => this.update(told));
    else if (item.id)
      confirm(
        words("documents.remove_title"),
        words("documents.remove_text", item),
        words("documents.remove_yes"),
        () => this.remove(item),
      );
    else this.drop(item);
  }

  async remove(item) {
    const response = await fetch(`./ui/documents/${item.id}`, { method: "DELETE" }).catch(() => null);
    // What is not there any more is removed as well.
    if (!response?.ok && response?.status !== 404) return announce(words("errors.title"));
    this.drop(item);
  }

  drop(item) {
    item.removed = true;
    item.stop?.();
    item.running = false;
    this.items = this.items.filter((one) => one !== item);
    this.draw();
    (this.host.querySelector("button") ?? this.host.ownerDocument.querySelector("[data-do=attach]"))?.focus();
  }

  draw() {
    const items = this.here();
    const focus = this.host.contains(document.activeElement) ? document.activeElement.dataset : null;
    this.host.hidden = !items.length;
    const chips = this.host.querySelectorAll(".qw-doc");
    const made = items.map((item) => chip(item));
    // Progress comes often: a chip that says the same stays, with whatever is focused in it.
    if (chips.length === made.length) made.forEach((one, at) => replace(chips[at], one));
    else {
      for (const one of chips) one.remove();
      this.host.prepend(...made);
    }
    if (focus && !this.host.contains(document.activeElement)) {
      const [name] = Object.keys(focus);
      this.host.querySelector(`[data-${name}="${focus[name]}"]`)?.focus();
    }
    this.settle();
  }
}

// Send a file and follow what the server does with it. With XMLHttpRequest, for fetch cannot say
// how much has been sent.
function send(address, file, item, draw) {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    let read = 0, last = null;
    const say = (text, share) => {
      if (item.text === text) return;
      Object.assign(item, { text, share });
      draw();
    };
    const take = () => {
      const end = request.responseText.lastIndexOf("\n");
      if (request.status !== 200 || end < read) return;
      for (const line of request.responseText.slice(read, end).split("\n").filter(Boolean)) {
        last = JSON.parse(line);
        if (last.text) say(last.text, last.share);
      }
      read = end + 1;
    };
    request.upload.onprogress = ({ loaded, total }) => {
      const share = Math.floor((100 * loaded) / (total || 1));
      say(words(share < 100 ? "documents.uploading" : "documents.arrived", { share }), share);
    };
    request.onprogress = take;
    request.onerror = request.onabort = () => fail(new Error(words("documents.lost")));
    request.onload = () => {
      take();
      if (request.status === 401) location.reload();
      if (last?.document) return done(last);
      fail(told(last ?? request.responseText));
    };
    request.open("POST", address);
    request.setRequestHeader("content-type", "application/octet-stream");
    request.send(file);
    item.stop = () => request.abort();
    say(words("documents.uploading", { share: 0 }), 0);
  });
}

function told(answer) {
  let said = answer;
  if (typeof answer === "string")
    try {
      said = JSON.parse(answer);
    } catch {
      return new Error(words("documents.lost"));
    }
  const { text, message, detail } = said.error ?? {};
  return Object.assign(new Error(text ?? message ?? words("documents.lost")), { detail });
}
