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

/** Show in `element` the panel that the module `source` draws; `bytes` are the binary values, as base64. */
export default async function mount(element, { source, styles, values, bytes }) {
  element.append(Object.assign(document.createElement("style"), { textContent: styles }));
  const place = element.appendChild(document.createElement("div"));
  for (const [name, text] of Object.entries(bytes)) values[name] = bytesOf(text);
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const panel = await import(address);
  URL.revokeObjectURL(address);
  await panel.default.render({ model: modelOf(values), el: place });
}
