// A panel on a page without a kernel: the model that a notebook would give it lives in the page alone.

/** What anywidget passes to a panel: values by name, listeners of their changes, and nobody at the other end. */
function modelOf(values) {
  const listeners = new Map();
  return {
    get: (name) => values[name],
    set(name, value) {
      if (values[name] === value) return;
      values[name] = value;
      for (const hear of listeners.get(`change:${name}`) ?? []) hear();
    },
    on(event, hear) {
      if (!listeners.has(event)) listeners.set(event, new Set());
      listeners.get(event).add(hear);
    },
    off: (event, hear) => listeners.get(event)?.delete(hear),
    save_changes() {},
    send() {},
  };
}

/** The bytes of base64 text, as a widget's binary trait reaches the browser. */
function bytesOf(text) {
  return new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

/** What the address says of one value, or undefined: a number in a range [low, high], or one of several texts. */
function wanted(text, allowed, usual) {
  if (typeof usual !== "number") return allowed.includes(text) ? text : undefined;
  const number = Number(text);
  if (text === "" || !Number.isFinite(number)) return undefined;
  const [low, high] = allowed;
  const inside = Math.min(Math.max(number, low), high);
  return allowed.every(Number.isInteger) && Number.isInteger(usual) ? Math.round(inside) : inside;
}

/** Keep in the page's address what differs from the first view: so it can be shared, and the back button goes back. */
function follow(model, address) {
  const names = Object.keys(address);
  const usual = Object.fromEntries(names.map((name) => [name, model.get(name)]));
  let reading = false;
  const read = () => {
    const said = new URLSearchParams(location.hash.slice(1));
    reading = true;
    for (const name of names) model.set(name, wanted(said.get(name) ?? "", address[name], usual[name]) ?? usual[name]);
    reading = false;
  };
  const write = () => {
    if (reading) return;
    const changed = names.filter((name) => model.get(name) !== usual[name]);
    const hash = new URLSearchParams(changed.map((name) => [name, model.get(name)])).toString();
    if (hash !== location.hash.slice(1)) location.hash = hash;
  };
  read();
  addEventListener("hashchange", read);
  for (const name of names) model.on(`change:${name}`, write);
}

/** Show in `element` the panel that the module `source` draws; `bytes` are the binary values, as base64. */
export default async function mount(element, { source, styles, values, bytes, address }) {
  element.append(Object.assign(document.createElement("style"), { textContent: styles }));
  const place = element.appendChild(document.createElement("div"));
  for (const [name, text] of Object.entries(bytes)) values[name] = bytesOf(text);
  const file = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const panel = await import(file);
  URL.revokeObjectURL(file);
  const model = modelOf(values);
  if (address) follow(model, address);
  await panel.default.render({ model, el: place });
}
