// A panel's state in the page's address, such as #alpha=0.2&k=5, so that a link shows the same view.

/** The address part of flat values by name. */
export function addressOf(values) {
  const pairs = Object.entries(values).filter(([, value]) => value !== null);
  return `#${new URLSearchParams(pairs)}`;
}

/** The values in an address part: numbers and true or false as such, all others as text. */
export function readAddress(address) {
  const read = (text) => {
    if (text === "true" || text === "false") return text === "true";
    return text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text);
  };
  return Object.fromEntries(
    [...new URLSearchParams(address.replace(/^#/, ""))].map(([name, text]) => [name, read(text)]),
  );
}

/**
 * Keep an address up to date: `state()` gives flat values, `go(values)` takes those of an address that somebody opens or
 * goes back to. Returns what to call after each change, and what stops listening.
 */
export function keepAddress(state, go) {
  const hear = () => go(readAddress(window.location.hash));
  window.addEventListener("hashchange", hear);
  if (window.location.hash.includes("=")) hear();
  const write = () => {
    const address = addressOf(state());
    if (address !== window.location.hash) window.history.replaceState(null, "", address);
  };
  return { write, stop: () => window.removeEventListener("hashchange", hear) };
}
