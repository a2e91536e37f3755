// Which tab is in view. The address says it, so a reload, a bookmark and the back button find it.
const TABS = ["chat", "json", "compare", "monitor"];

export const inAddress = (name) => new URLSearchParams(location.search).get(name) ?? "";

export function startTabs() {
  settle();
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-tab-link]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    setAddress({ tab: link.dataset.tabLink === "chat" ? "" : link.dataset.tabLink });
  });
  window.addEventListener("popstate", settle);
  // Gradio draws the links some time after this.
  new MutationObserver(mark).observe(document.body, { childList: true, subtree: true });
}

// Empty values leave the address. `quietly`: the step before is not one to go back to.
export function setAddress(values, quietly = false) {
  const address = new URL(location.href);
  for (const [name, value] of Object.entries(values)) {
    if (value) address.searchParams.set(name, value);
    else address.searchParams.delete(name);
  }
  if (address.href === location.href) return;
  history[quietly ? "replaceState" : "pushState"](null, "", address);
  settle();
}

function settle() {
  const tab = inAddress("tab");
  document.documentElement.dataset.tab = TABS.includes(tab) ? tab : "chat";
  mark();
  window.dispatchEvent(new Event("qw-address"));
}

function mark() {
  for (const link of document.querySelectorAll("[data-tab-link]")) {
    const here = link.dataset.tabLink === document.documentElement.dataset.tab;
    if (here !== (link.getAttribute("aria-current") === "page"))
      here ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
}
