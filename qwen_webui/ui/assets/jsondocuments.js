// Documents of the JSON tab: those that belong to no conversation. Which of them a request is answered
// from belongs to the request, so it comes and goes with it.
import { register } from "./attach.js";
import { Row } from "./documents.js";

let row = null, listed = false, wanted = new Set();

export function startDocuments(root, edited) {
  const host = root.querySelector("[data-documents=json]");
  const changed = () => {
    if (listed) wanted = new Set(row.ids());
    edited();
  };
  row = new Row({ host, changed, asked: (id) => wanted.has(id), remember: false });
  register("json", row);
  row.show(null).then(() => (listed = true));
}

export const documentIds = () => (listed ? row.ids() : [...wanted]);

// A request that is made while documents are read waits for them.
export const whenRead = (act) => row.whenRead(act);

// Another request: its documents are ticked, as far as they are still there.
export function askDocuments(ids) {
  wanted = new Set(ids);
  row.tick(wanted);
}
