// The Monitor tab: asks for new points while somebody looks, fills the tiles and has the plots drawn.
import { ask, words } from "./bus.js";
import { whenThere } from "./frame.js";
import { draw, format, startPlots } from "./plots.js";
import { setAddress } from "./tabs.js";

const OFTEN = 1000, SELDOM = 10000;
let root, range = 300, timer = 0, asked = 0;
let points = { times: [], columns: {} };

export function startMonitor() {
  whenThere("#qw-monitor .qw-monitor", (found) => {
    root = found;
    startPlots(root);
    root.addEventListener("click", (event) => {
      const control = event.target.closest("[data-range]");
      if (control) choose(Number(control.dataset.range));
    });
    new ResizeObserver(paint).observe(root);
    look();
  });
  window.addEventListener("qw-address", look);
  document.addEventListener("visibilitychange", look);
  // What is chosen in the side column is in the chat.
  document.addEventListener("click", (event) => {
    if (inView() && event.target.closest("#qw-new, [data-open]")) setAddress({ tab: "" });
  });
}

const inView = () => document.documentElement.dataset.tab === "monitor";

function choose(seconds) {
  range = seconds;
  points = { times: [], columns: {} };
  for (const control of root.querySelectorAll("[data-range]"))
    control.setAttribute("aria-pressed", String(Number(control.dataset.range) === range));
  look();
}

async function look() {
  clearTimeout(timer);
  if (!root || !inView() || document.hidden) return;
  const turn = ++asked;
  try {
    const last = points.times.at(-1) ?? 0;
    const told = await (await ask(`monitor?seconds=${range}&since=${last}`)).json();
    if (turn !== asked) return;
    add(told);
    paint();
  } catch {
    // That the server is lost is said above every tab.
  }
  if (turn === asked) timer = setTimeout(look, range > 300 ? SELDOM : OFTEN);
}

// The last point may have been half a one, and comes again whole.
function add(told) {
  const first = told.times[0] ?? Infinity, begin = told.now - told.seconds;
  const kept = [...points.times.keys()].filter(
    (at) => points.times[at] < first && points.times[at] >= begin,
  );
  const columns = {};
  for (const [name, values] of Object.entries(told.columns))
    columns[name] = [...kept.map((at) => points.columns[name][at]), ...values];
  points = { ...told, times: [...kept.map((at) => points.times[at]), ...told.times], columns };
}

function paint() {
  if (!points.now || !inView()) return;
  root.querySelector("[data-monitor=device]").textContent =
    points.device_name || words("monitor.machine");
  for (const part of root.querySelectorAll("[data-of]"))
    part.hidden = Boolean(part.dataset.of) && part.dataset.of !== points.device;
  for (const tile of root.querySelectorAll("[data-tile]")) fill(tile);
  for (const plot of root.querySelectorAll(".qw-plot:not([hidden])")) draw(plot, points);
}

function fill(tile) {
  const latest = { ...points.latest };
  // An answer does not end every second: the last one that did is meant.
  latest.first_token ??= points.columns.first_token.findLast((value) => value !== null) ?? null;
  const values = tile.dataset.tile.split(",").map((name) => latest[name]);
  tile.querySelector("dd").textContent = TILES[tile.dataset.unit]?.(values) ?? one(tile, values[0]);
}

const TILES = {
  share: ([used, total]) =>
    used === null || !total
      ? words("monitor.not_available")
      : words("monitor.share", {
          used: format("bytes", used),
          total: format("bytes", total),
          percent: Math.round((100 * used) / total),
        }),
  queue: ([running, waiting]) => `${running} / ${waiting}`,
  clocks: (values) =>
    values.every((value) => value === null)
      ? words("monitor.not_available")
      : `${values.map((value) => (value === null ? "–" : Math.round(value))).join(" / ")} MHz`,
};

function one(tile, value) {
  if (value !== null) return format(tile.dataset.unit, value);
  return words(tile.dataset.tile === "first_token" ? "monitor.none_yet" : "monitor.not_available");
}
