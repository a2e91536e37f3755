// The Compare tab: the form, the comparison that runs or is opened, and those that were kept. The
// server makes every piece of HTML, with every foreign word escaped; here only what changed is renewed.
import { announce, ask, conversation, post, words } from "./bus.js";
import { confirm } from "./dialog.js";
import { closeDrawers, whenThere } from "./frame.js";
import { local, session } from "./memory.js";
import { inAddress, setAddress } from "./tabs.js";

const FORM = "qw-compare-form", MARKS = "qw-compare-marks";
const OFTEN = 350, SELDOM = 5000;
let root, form, timer = 0, asked = 0, seen = "", shown = "", active = false, blocked = "";
let chosen = null, open = "";

export function startCompare() {
  whenThere("#qw-compare .qw-compare", begin);
  whenThere("#qw-comparisons [data-comparisons]", list);
  document.addEventListener("click", clicked);
  document.addEventListener("visibilitychange", look);
  window.addEventListener("pagehide", keepForm);
  window.addEventListener("qw-address", entered);
}

const inView = () => document.documentElement.dataset.tab === "compare";
const part = (name) => root.querySelector(`[data-compare=${name}]`);
const field = (name) => root.querySelector(`#qw-compare-${name}`);
const boxes = () => [...form.querySelectorAll("[name=checkpoint]")];
const source = () => form.querySelector("[name=source]:checked").value;

function begin(found) {
  root = found;
  form = part("form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start();
  });
  form.addEventListener("input", edited);
  root.addEventListener("change", (event) => {
    if (event.target.dataset.compare !== "marks") return;
    local.setItem(MARKS, event.target.checked ? "" : "off");
    paintMarks();
  });
  field("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) start();
  });
  bringForm();
  entered();
}

function entered() {
  if (!root || !inView()) return clearTimeout(timer);
  choose();
  look();
  list();
}

// What a reload or another language must not cost.
function keepForm() {
  if (!root) return;
  const values = { text: field("text").value, chosen, most: field("most").value };
  session.setItem(FORM, JSON.stringify({ ...values, heat: field("heat").value, seed: field("seed").value }));
}

function bringForm() {
  const kept = JSON.parse(session.getItem(FORM) ?? "null");
  session.removeItem(FORM);
  if (!kept) return;
  for (const name of ["text", "heat", "seed", "most"]) field(name).value = kept[name] ?? "";
  chosen = kept.chosen;
}

// The boxes anew, with what was chosen in them before.
async function choose() {
  try {
    const told = await (await ask(`compare/choice?conversation=${conversation()}`)).json();
    if (part("choice").innerHTML !== told.choice && told.choice !== part("choice").was) {
      const within = part("choice").contains(document.activeElement) && document.activeElement.value;
      part("choice").innerHTML = part("choice").was = told.choice;
      if (chosen) for (const box of boxes()) box.checked = !box.disabled && chosen.includes(box.value);
      if (within) boxes().find((box) => box.value === within)?.focus();
    }
    part("said").textContent = told.said;
    const said = form.querySelector("[value=conversation]");
    said.disabled = !told.askable;
    if (said.disabled && said.checked) form.querySelector("[value=prompts]").checked = true;
  } catch {
    // That the server is lost is said above every tab.
  }
  paintForm();
}

function edited(event) {
  if (event.target.name === "checkpoint")
    chosen = boxes().filter((box) => box.checked).map((box) => box.value);
  part("wrong").textContent = "";
  paintForm();
}

function paintForm() {
  const count = boxes().filter((box) => box.checked).length;
  const enough = count >= 2 && count <= 4;
  const told = words(enough ? "compare.chosen" : "compare.choose_more", { count });
  if (part("count").textContent !== told) part("count").textContent = told;
  part("prompts").hidden = source() !== "prompts";
  const heat = Number(field("heat").value);
  part("sampling").textContent =
    heat > 0 ? words("compare.sampled", { temperature: heat }) : words("compare.greedy");
  field("run").disabled = Boolean(blocked) || !enough;
  part("busy").hidden = !blocked;
  if (part("busy").textContent !== blocked) part("busy").textContent = blocked;
}

const number = (name) => (field(name).value.trim() === "" ? null : field(name).valueAsNumber);

async function start() {
  if (field("run").disabled) return;
  field("run").disabled = true;
  part("wrong").textContent = "";
  try {
    const { id } = await post("compare/start", {
      checkpoints: boxes().filter((box) => box.checked).map((box) => box.value),
      prompts: field("text").value,
      conversation: source() === "conversation" ? conversation() : "",
      temperature: number("heat"),
      seed: number("seed"),
      max_new_tokens: number("most"),
    });
    setAddress({ comparison: id });
    await look();
    part("result").scrollIntoView({ block: "start" });
    root.querySelector("#qw-compared-title")?.focus({ preventScroll: true });
    list();
  } catch (error) {
    part("wrong").textContent = [error.message, error.detail].filter(Boolean).join(" ");
    paintForm();
  }
}

async function look() {
  clearTimeout(timer);
  if (!root || !inView() || document.hidden) return;
  const turn = ++asked, wanted = inAddress("comparison");
  if (wanted !== open) seen = "";
  open = wanted;
  try {
    const mark = encodeURIComponent(seen);
    const response = await fetch(`./ui/compare/now?id=${encodeURIComponent(wanted)}&seen=${mark}`);
    if (turn !== asked) return;
    if (response.status === 401) return location.reload();
    if (response.status === 404 && wanted) return gone();
    if (response.status === 200) await take(await response.json());
  } catch {
    // As above.
  }
  if (turn === asked) timer = setTimeout(look, active ? OFTEN : SELDOM);
}

function gone() {
  announce(words("compare.gone"));
  setAddress({ comparison: "" }, true);
  part("wrong").textContent = words("compare.gone");
}

async function take(told) {
  seen = told.version;
  const ended = active && !told.active;
  active = told.active;
  blocked = told.blocked;
  if (told.id && told.id !== inAddress("comparison")) {
    open = told.id;
    setAddress({ comparison: told.id }, true);
  }
  draw(told);
  paintForm();
  if (ended) {
    choose();
    list();
  }
}

function draw(told) {
  const place = part("result");
  if (!told.id) place.replaceChildren();
  else if (shown !== told.id) place.innerHTML = told.frame;
  shown = told.id;
  for (const [name, html] of Object.entries(told.parts ?? {})) {
    const one = place.querySelector(`[data-part="${name}"]`);
    if (!one || one.was === html) continue;
    const within = one.contains(document.activeElement);
    one.innerHTML = one.was = html;
    // Cancel goes when there is nothing left to cancel.
    if (within) (one.querySelector("button, a, input") ?? place.querySelector("#qw-compared-title")).focus();
  }
  paintMarks();
}

function paintMarks() {
  const off = local.getItem(MARKS) === "off", box = part("marks");
  if (box) box.checked = !off;
  root.classList.toggle("qw-unmarked", off);
}

function clicked(event) {
  const control = event.target.closest(
    "[data-do],[data-set],[data-open-comparison],[data-delete-comparison]",
  );
  if (!control || !root) return;
  const { do: act, set, openComparison, deleteComparison, title } = control.dataset;
  if (set) {
    field("text").value = words(set);
    part("wrong").textContent = "";
    field("text").focus();
  } else if (openComparison && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    closeDrawers();
    setAddress({ comparison: openComparison });
    part("result").scrollIntoView({ block: "start" });
  } else if (deleteComparison)
    confirm(
      words("compare.delete_title"),
      words("json.delete_text", { title }),
      words("side.delete"),
      () => forget(deleteComparison),
    );
  else if (act === "compare-cancel") cancel(control);
  else if (act === "compare-new") {
    closeDrawers();
    setAddress({ comparison: "" });
    root.parentElement.scrollTop = 0;
    field("text").focus();
  }
}

async function cancel(control) {
  control.disabled = true;
  try {
    await post("compare/cancel", { id: shown });
  } catch (error) {
    control.disabled = false;
    announce(error.message);
  }
  look();
}

async function forget(id) {
  const response = await fetch(`./ui/compare/kept/${id}`, { method: "DELETE" });
  if (!response.ok) announce(words("errors.title"));
  if (id === shown) setAddress({ comparison: "" }, true);
  await list();
  document.querySelector("#qw-comparisons [data-comparisons]").focus();
}

async function list() {
  const place = document.querySelector("#qw-comparisons [data-comparisons]");
  if (!place || !inView()) return;
  const html = await (await ask(`compare/kept?current=${inAddress("comparison")}`)).text();
  if (place.was !== html) place.innerHTML = place.was = html;
}
