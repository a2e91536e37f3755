// JSON as it was written: its tokens, its tree, its layout. Names keep their order and numbers their
// digits, which JSON.parse would change. Takes text that is cut or wrong as far as it goes.
const TOKEN =
  /(?<space>\s+)|(?<string>"(?:[^"\\\n]|\\.)*"?)|(?<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?<word>true|false|null)|(?<sign>[{}[\],:])|(?<other>[^\s"{}[\],:]+)/gu;
const WIDE = 76;

// Every token with its kind and place; a string before a colon is a "key".
export function tokens(text) {
  const found = [];
  let last = null;
  for (const match of text.matchAll(TOKEN)) {
    const kind = Object.keys(match.groups).find((name) => match.groups[name] !== undefined);
    const token = { kind, text: match[0], start: match.index };
    if (token.text === ":" && last?.kind === "string") last.kind = "key";
    if (kind !== "space") last = token;
    found.push(token);
  }
  return found;
}

// The tree of a whole JSON text: {open, items: [{key, value}]} or {token}; null if it is none.
export function tree(text) {
  const all = tokens(text).filter((token) => token.kind !== "space");
  let at = 0;
  const value = (depth) => {
    const token = all[at++];
    if (!token || depth > 500) return null;
    if (token.text !== "{" && token.text !== "[")
      return ["string", "number", "word"].includes(token.kind) ? { token } : null;
    const node = { open: token.text, token, items: [] };
    const end = token.text === "{" ? "}" : "]";
    if (all[at]?.text === end) return at++, node;
    for (;;) {
      const key = end === "}" ? all[at++] : undefined;
      if (end === "}" && (key?.kind !== "key" || all[at++]?.text !== ":")) return null;
      const inner = value(depth + 1);
      if (!inner) return null;
      node.items.push({ key, value: inner });
      const next = all[at++]?.text;
      if (next === end) return node;
      if (next !== ",") return null;
    }
  };
  const root = value(0);
  return root && at === all.length ? root : null;
}

export const isBranch = (node) => node.open !== undefined;
export const ends = (node) => (node.open === "{" ? "}" : "]");

// Two spaces a level; what is short and holds no more than one level stays on its line.
export function layout(node, depth = 0, room = WIDE) {
  if (!isBranch(node)) return node.token.text;
  if (!node.items.length) return node.open + ends(node);
  const parts = node.items.map(({ key, value }) => {
    const head = key ? `${key.text}: ` : "";
    return head + layout(value, depth + 1, room - head.length);
  });
  const line = node.open + parts.join(", ") + ends(node);
  const nested = node.items.filter(({ value }) => isBranch(value) && value.items.length).length;
  if (!line.includes("\n") && nested < 2 && depth > 0 && line.length + 2 * depth <= room) return line;
  const margin = "  ".repeat(depth);
  return `${node.open}\n${parts.map((part) => `${margin}  ${part}`).join(",\n")}\n${margin}${ends(node)}`;
}

// The layout of a text that is still being written: a line for every value.
export function flow(text) {
  let out = "", depth = 0, fresh = false;
  for (const { kind, text: part } of tokens(text)) {
    if (kind === "space") continue;
    const closes = part === "}" || part === "]";
    if (closes && kind === "sign") {
      depth = Math.max(0, depth - 1);
      if (!fresh) out += `\n${"  ".repeat(depth)}`;
    } else if (fresh) out += `\n${"  ".repeat(depth)}`;
    fresh = false;
    if (kind !== "sign") out += part;
    else if (part === "{" || part === "[") {
      out += part;
      depth++;
      fresh = true;
    } else if (part === ",") {
      out += part;
      fresh = true;
    } else out += part === ":" ? ": " : part;
  }
  return out;
}

// The text in colours: one span a token, and nothing but text in it.
export function coloured(text) {
  const whole = document.createDocumentFragment();
  for (const { kind, text: part } of tokens(text)) {
    if (kind === "space") {
      whole.append(part);
      continue;
    }
    const span = document.createElement("span");
    span.className = `qw-t-${kind}`;
    span.textContent = part;
    whole.append(span);
  }
  return whole;
}

// The line (from 1) of a JSON pointer like #/properties/age, or of the nearest part above it.
export function lineOf(text, pointer) {
  let node = tree(text);
  if (!node) return 0;
  let start = node.token.start;
  for (const step of pointer.split("/").slice(1)) {
    const name = step.replaceAll("~1", "/").replaceAll("~0", "~");
    const next = node.items?.findLast(({ key }, at) =>
      key ? read(key.text) === name : String(at) === name,
    );
    if (!next) break;
    node = next.value;
    start = (next.key ?? node.token).start;
  }
  return text.slice(0, start).split("\n").length;
}

function read(quoted) {
  try {
    return JSON.parse(quoted);
  } catch {
    return quoted;
  }
}
