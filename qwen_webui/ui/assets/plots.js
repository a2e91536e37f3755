// Draws the plots of the Monitor tab as SVG: lines, or areas on top of each other. A pointer or the
// arrow keys move one moment along all of them, whose values stand in the legends.
import { words } from "./bus.js";

const SVG = "http://www.w3.org/2000/svg";
const HIGH = 132, LEFT = 50, RIGHT = 8, TOP = 8, BOTTOM = 20;
let root, points = null, chosen = null;

const GIB = 2 ** 30, MIB = 2 ** 20;
const places = (value) => (Math.abs(value) < 10 && value % 1 ? 1 : 0);
const UNITS = {
  bytes: (v) => (v >= GIB ? `${(v / GIB).toFixed(1)} GiB` : `${Math.round(v / MIB)} MiB`),
  speed: (v) => words("monitor.per_second", { value: v.toFixed(places(v)) }),
  count: (v) => `${Number(v.toFixed(1))}`,
  seconds: (v) => `${v.toFixed(v < 10 ? 2 : 0)} s`,
  percent: (v) => `${Math.round(v)} %`,
  watts: (v) => `${Math.round(v)} W`,
  celsius: (v) => `${Math.round(v)} °C`,
  megahertz: (v) => `${Math.round(v)} MHz`,
};

export const format = (unit, value) => UNITS[unit](value);

export function startPlots(found) {
  root = found;
  root.addEventListener("pointermove", (event) => {
    const canvas = event.target.closest?.(".qw-canvas");
    pick(canvas ? nearest(event.clientX - canvas.getBoundingClientRect().left, canvas) : null);
  });
  root.addEventListener("pointerleave", () => pick(null));
  root.addEventListener("focusout", () => pick(null));
  root.addEventListener("keydown", moved);
}

// ArrowLeft is one point earlier; what is there is said, for the plot is a picture to some.
function moved(event) {
  const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
  if (!step || !event.target.matches(".qw-canvas") || !points?.times.length) return;
  event.preventDefault();
  const last = points.times.length - 1;
  pick(Math.min(last, Math.max(0, (chosen ?? last + (step < 0)) + step)));
  const plot = event.target.closest(".qw-plot");
  const values = [...plot.querySelectorAll("[data-series]:not([hidden])")].map((item) => item.textContent);
  event.target.setAttribute("aria-label", [clock(points.times[chosen]), ...values].join(", "));
}

function nearest(x, canvas) {
  if (!points?.times.length) return null;
  const { begin, wide } = frame(canvas);
  const time = begin + ((x - LEFT) / wide) * points.seconds;
  let best = 0;
  points.times.forEach((at, place) => {
    if (Math.abs(at - time) < Math.abs(points.times[best] - time)) best = place;
  });
  return best;
}

function pick(place) {
  if (place === chosen || !points) return;
  chosen = place;
  for (const plot of root.querySelectorAll(".qw-plot:not([hidden])")) mark(plot);
}

export function draw(plot, all) {
  // What was looked at stays that moment while time goes on.
  if (chosen !== null && all !== points) {
    const found = all.times.indexOf(points?.times[chosen]);
    chosen = found < 0 ? null : found;
  }
  points = all;
  const canvas = plot.querySelector(".qw-canvas"), { wide } = frame(canvas);
  const names = seriesOf(plot), unit = plot.dataset.unit;
  const columns = names.map((name) => points.columns[name] ?? []);
  const told = columns.some((column) => column.some((value) => value !== null));
  for (const item of plot.querySelectorAll("[data-series]"))
    item.hidden = told && points.columns[item.dataset.series].every((value) => value === null);
  if (!told || wide <= 0) return nothing(canvas, plot);
  const layers = "stacked" in plot.dataset ? stack(columns) : columns;
  const highest = top(plot, layers, unit);
  const svg = make("svg", { width: wide + LEFT + RIGHT, height: HIGH, "aria-hidden": "true" });
  grid(svg, highest, unit, wide);
  // The layer below is drawn over the one above it.
  for (let at = layers.length - 1; at >= 0; at--)
    trace(svg, layers[at], highest, wide, at, "stacked" in plot.dataset);
  svg.append(make("line", { class: "qw-cursor", y1: TOP, y2: HIGH - BOTTOM, visibility: "hidden" }));
  canvas.replaceChildren(svg);
  mark(plot);
  if (canvas !== document.activeElement)
    canvas.setAttribute("aria-label", summary(plot, layers, unit));
}

const seriesOf = (plot) =>
  [...plot.querySelectorAll("[data-series]")].map((item) => item.dataset.series);

function frame(canvas) {
  return { begin: points.now - points.seconds, wide: canvas.clientWidth - LEFT - RIGHT };
}

function nothing(canvas, plot) {
  const once = plot.dataset.unit === "seconds" ? "monitor.none_yet" : "monitor.not_available";
  const text = document.createElement("p");
  text.className = "qw-quiet";
  text.textContent = words(once);
  canvas.replaceChildren(text);
  canvas.setAttribute("aria-label", `${canvas.dataset.title}: ${words(once)}`);
  mark(plot);
}

// For those who do not see it: the values in the legend, and the highest in view.
function summary(plot, layers, unit) {
  const items = [...plot.querySelectorAll("[data-series]:not([hidden])")];
  return words("monitor.summary", {
    title: plot.querySelector(".qw-canvas").dataset.title,
    values: items.map((item) => item.textContent).join(", "),
    highest: format(unit, Math.max(...layers.flat())),
  });
}

// Each layer with all below it. Where one is not told, it takes no room.
function stack(columns) {
  const sums = points.times.map(() => null);
  return columns.map((column) =>
    column.map((value, at) => (value === null ? sums[at] : (sums[at] = (sums[at] ?? 0) + value))),
  );
}

// The end of the scale: all of the memory, all percent, or a round number above the highest value.
function top(plot, layers, unit) {
  if (unit === "percent") return 100;
  if (unit === "bytes" && points.latest?.memory_total) return points.latest.memory_total;
  const most = Math.max(...layers.flat(), unit === "count" ? 2 : 0);
  if (most <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 5, 10].find((factor) => factor * power >= most) * power;
}

const x = (time, wide) => LEFT + ((time - points.now + points.seconds) / points.seconds) * wide;
const y = (value, highest) => TOP + (1 - Math.min(1, value / highest)) * (HIGH - TOP - BOTTOM);

function grid(svg, highest, unit, wide) {
  for (const share of [0, 0.5, 1]) {
    const at = y(share * highest, highest);
    svg.append(make("line", { class: "qw-grid", x1: LEFT, x2: LEFT + wide, y1: at, y2: at }));
    const value = unit === "speed" ? `${share * highest}` : format(unit, share * highest);
    svg.append(label(LEFT - 6, at + 4, value, "end"));
  }
  const every = points.seconds / (wide < 360 ? 2 : 4);
  for (let back = 0; back <= points.seconds; back += every) {
    const side = back === 0 ? "end" : back === points.seconds ? "start" : "middle";
    svg.append(label(x(points.now - back, wide), HIGH - 5, clock(points.now - back), side));
  }
}

// A line, and the area under it where layers stand on each other. It breaks where nothing was told.
function trace(svg, values, highest, wide, at, filled) {
  const runs = [[]];
  points.times.forEach((time, place) => {
    const gap = place && time - points.times[place - 1] > 3 * points.step;
    if ((values[place] === null || gap) && runs.at(-1).length) runs.push([]);
    if (values[place] !== null) runs.at(-1).push([x(time, wide), y(values[place], highest)]);
  });
  for (const run of runs.filter((found) => found.length)) {
    const line = run.map(([left, up]) => `${left.toFixed(1)},${up.toFixed(1)}`).join(" ");
    if (run.length === 1) {
      svg.append(make("circle", { class: `qw-s${at} qw-point`, cx: run[0][0], cy: run[0][1], r: 2.5 }));
    } else if (filled) {
      const ground = HIGH - BOTTOM, last = run.at(-1)[0];
      const area = `${line} ${last.toFixed(1)},${ground} ${run[0][0].toFixed(1)},${ground}`;
      svg.append(make("polygon", { class: `qw-s${at} qw-area`, points: area }));
    } else svg.append(make("polyline", { class: `qw-s${at} qw-line`, points: line }));
  }
}

// The values of the chosen moment, or of the last one.
function mark(plot) {
  const place = chosen ?? points.times.length - 1;
  for (const item of plot.querySelectorAll("[data-series]")) {
    const value = points.columns[item.dataset.series]?.[place] ?? null;
    item.querySelector("b").textContent = value === null ? "–" : format(plot.dataset.unit, value);
  }
  plot.querySelector("time").textContent = chosen === null ? "" : clock(points.times[chosen]);
  const cursor = plot.querySelector(".qw-cursor");
  if (!cursor) return;
  cursor.setAttribute("visibility", chosen === null ? "hidden" : "visible");
  if (chosen === null) return;
  const left = x(points.times[chosen], frame(plot.querySelector(".qw-canvas")).wide);
  cursor.setAttribute("x1", left);
  cursor.setAttribute("x2", left);
}

function clock(seconds) {
  const parts = { hour: "2-digit", minute: "2-digit" };
  if (points.seconds <= 300) parts.second = "2-digit";
  return new Date(seconds * 1000).toLocaleTimeString(document.documentElement.lang || undefined, {
    ...parts,
    hour12: false,
  });
}

function label(left, up, text, anchor) {
  const made = make("text", { x: left, y: up, "text-anchor": anchor });
  made.textContent = text;
  return made;
}

function make(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
