// An answer as a tree that folds. Made of elements and text only: whatever a key or a value says,
// it stays a word. Branches that begin folded are built when they are opened.
import { words } from "./bus.js";
import { ends, isBranch, tree } from "./jsontext.js";

const MANY = 1500, DEEP = 6;

export function treeOf(text) {
  const root = tree(text);
  if (!root) return null;
  const open = weigh(root) > MANY ? 1 : DEEP;
  const whole = make("div", "qw-tree");
  whole.append(show(undefined, root, "", 0, open));
  return whole;
}

const weigh = (node) =>
  isBranch(node) ? node.items.reduce((sum, item) => sum + weigh(item.value), 1) : 1;

function show(key, node, comma, depth, open) {
  if (!isBranch(node) || !node.items.length) {
    const row = make("div", "qw-leaf");
    if (key) row.append(...name(key));
    row.append(
      isBranch(node)
        ? make("span", "qw-t-sign", node.open + ends(node))
        : make("span", `qw-t-${node.token.kind}`, node.token.text),
      comma,
    );
    return row;
  }
  const branch = make("details", "qw-branch");
  const head = make("summary");
  if (key) head.append(...name(key));
  head.append(
    make("span", "qw-t-sign", node.open),
    make("span", "qw-folded", count(node)),
    make("span", "qw-t-sign qw-folded", ends(node) + comma),
  );
  branch.append(head);
  const fill = () => {
    if (branch.childElementCount > 1) return;
    const inner = make("div", "qw-inner");
    node.items.forEach((item, at) => {
      const more = at + 1 < node.items.length ? "," : "";
      inner.append(show(item.key, item.value, more, depth + 1, open));
    });
    branch.append(inner, make("div", "qw-t-sign", ends(node) + comma));
  };
  if (depth < open) {
    branch.open = true;
    fill();
  } else branch.addEventListener("toggle", fill, { once: true });
  return branch;
}

const name = (key) => [make("span", "qw-t-key", key.text), ": "];

function count(node) {
  const number = node.items.length;
  if (node.open === "{")
    return number === 1 ? words("json.field") : words("json.fields", { count: number });
  return number === 1 ? words("json.item") : words("json.items", { count: number });
}

function make(tag, look, text) {
  const made = document.createElement(tag);
  if (look) made.className = look;
  if (text !== undefined) made.textContent = text;
  return made;
}
