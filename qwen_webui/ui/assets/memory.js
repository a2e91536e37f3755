// What the browser remembers for the page. In a frame of another site it may refuse to, and then
// the page remembers by itself until it is closed.
function memory(kind) {
  try {
    return window[kind];
  } catch {
    const kept = new Map();
    return {
      getItem: (key) => kept.get(key) ?? null,
      setItem: (key, value) => kept.set(key, value),
      removeItem: (key) => kept.delete(key),
    };
  }
}

export const local = memory("localStorage"), session = memory("sessionStorage");
