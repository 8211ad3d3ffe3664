// A panel's state in the page's address, such as #alpha=0.2&k=5, so that a link shows the same view.

/** Flat values by name as the end of an address; null is left out. */
export function addressOf(values) {
  return `#${new URLSearchParams(Object.entries(values).filter(([, value]) => value !== null))}`;
}

/** The values at the end of an address: numbers, true and false as such, all else as text. */
export function readAddress(address) {
  const read = (text) => {
    if (text === "true" || text === "false") return text === "true";
    return text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text);
  };
  const pairs = [...new URLSearchParams(address.replace(/^#/, ""))];
  return Object.fromEntries(pairs.map(([name, text]) => [name, read(text)]));
}

/**
 * Keep the address of the page as the panel's `state()`, flat values, whenever one of the model's `names` changes, so
 * that the back button goes back; `go(values)` takes an address that somebody opens or changes. Returns what stops it.
 */
export function keepAddress(model, names, state, go) {
  let reading = false;
  const read = () => {
    if (window.location.hash === addressOf(state())) return; // which write() has just put there
    reading = true;
    go(readAddress(window.location.hash));
    reading = false;
  };
  const write = () => {
    const address = addressOf(state());
    if (!reading && address !== (window.location.hash || "#")) window.location.hash = address;
  };
  const events = names.map((name) => `change:${name}`);
  if (window.location.hash.includes("=")) read();
  for (const event of events) model.on(event, write);
  window.addEventListener("hashchange", read);
  return () => {
    for (const event of events) model.off(event, write);
    window.removeEventListener("hashchange", read);
  };
}
