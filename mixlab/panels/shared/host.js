// A panel on a page without a kernel: the model that a notebook would give it lives in the page alone.

import { keepAddress } from "./address.js";

/** What anywidget passes to a panel: values by name, listeners of their changes and of what is sent. */
function modelOf(values) {
  const listeners = new Map();
  const tell = (event, content) => {
    for (const hear of listeners.get(event) ?? []) hear(content);
  };
  return {
    get: (name) => values[name],
    set(name, value) {
      if (values[name] === value) return;
      values[name] = value;
      tell(`change:${name}`);
    },
    on(event, hear) {
      if (!listeners.has(event)) listeners.set(event, new Set());
      listeners.get(event).add(hear);
    },
    off: (event, hear) => listeners.get(event)?.delete(hear),
    save_changes() {},
    send(content) {
      tell("sent", content); // to what the page has in place of Python
      tell("msg:custom", { heard: content.number });
    },
  };
}

/** The bytes of base64 text, as a widget's binary trait reaches the browser. */
function bytesOf(text) {
  return new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

/** A value that the address gives, if it is allowed: within [low, high], or one of several texts. */
function asAllowed(value, allowed, usual) {
  if (typeof usual !== "number") return allowed.includes(value) ? value : usual;
  if (typeof value !== "number" || !Number.isFinite(value)) return usual;
  const inside = Math.min(Math.max(value, allowed[0]), allowed[1]);
  return [...allowed, usual].every(Number.isInteger) ? Math.round(inside) : inside;
}

/** Keep in the page's address what differs from the first view. */
function follow(model, address) {
  const names = Object.keys(address);
  const usual = Object.fromEntries(names.map((name) => [name, model.get(name)]));
  const changed = () =>
    Object.fromEntries(names.filter((name) => model.get(name) !== usual[name]).map((name) => [name, model.get(name)]));
  keepAddress(model, names, changed, (said) => {
    for (const name of names) model.set(name, asAllowed(said[name], address[name], usual[name]));
  });
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
