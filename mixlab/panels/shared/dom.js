// What the panels share on the page: elements, a log slider, canvases that fit, one drawing a frame.

/** An element with attributes, listeners (onInput: ...) and children. */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2).toLowerCase(), value);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

const ours = Math.random().toString(36).slice(2, 10); // each panel on a page has its own copy of this file
let ids = 0;

/** An id that no other element of the page has. */
export function newId() {
  ids += 1;
  return `mixlab-${ours}-${ids}`;
}

/** A labeled control; `shown` is the place beside the label for its value in words. */
export function field(label, control, shown = "") {
  control.id = newId();
  const title = make("label", { for: control.id }, label);
  return make("div", { class: "mx-field" }, make("div", { class: "mx-label" }, title, shown), control);
}

/** A menu of [value, words] or [value, words, title] options; `release` takes the value that is chosen. */
export function menuOf(options, release) {
  const menu = make("select", { onChange: () => release(menu.value) });
  for (const [value, words, title] of options) menu.append(make("option", { value, ...(title && { title }) }, words));
  return menu;
}

/** Put words where others stand; what is written again would be read aloud again. */
export function write(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

/** What a mark, line or bar of a picture stands for; `kind` is its swatch in panel.css. */
export function legendItem(kind, words) {
  return make("span", {}, make("i", { class: `mx-swatch mx-${kind}`, "aria-hidden": "true" }), words);
}

/** A native slider; `say` puts a value in words for the eye (beside the label) and for the ear (aria-valuetext). */
export function slider(label, { min, max, step, toValue, toPosition, say }, onMove, onRelease) {
  const shown = make("span", { class: "mx-value", "aria-hidden": "true" });
  const range = make("input", { type: "range", min, max, step });
  let longest = 0; // room is kept for the longest words, so that no line wraps under a drag
  const put = (words) => {
    range.setAttribute("aria-valuetext", words);
    shown.textContent = words;
    longest = Math.max(longest, words.length);
    shown.style.minWidth = `${longest}ch`;
  };
  const show = (value) => {
    range.value = toPosition(value);
    put(say(value));
  };
  range.addEventListener("input", () => {
    const value = toValue(Number(range.value));
    onMove(value);
    put(say(value));
  });
  range.addEventListener("change", onRelease);
  return { node: field(label, range, shown), range, show };
}

/** α for a place on the log slider: three digits, and every one-digit α (0.2, 0.4, 8 ...) has a stop of its own. */
export function alphaAt(position) {
  const exact = 10 ** position;
  const round = Number(exact.toPrecision(1));
  return Math.abs(exact / round - 1) < 0.0115 ? round : Number(exact.toPrecision(3));
}

export const ALPHA_SCALE = {
  min: -2,
  max: 2,
  step: 0.01,
  toValue: alphaAt,
  toPosition: Math.log10,
  say: (alpha) => String(Number(alpha.toPrecision(3))),
};
export const PLAIN_SCALE = { min: 0, step: 1, toValue: Number, toPosition: Number, say: String };
export const K_SCALE = { ...PLAIN_SCALE, min: 1, max: 8 };

/** The colors in force, read from the stylesheet; data-dark says whether the page is dark. */
export function readTheme(root) {
  const [red, green, blue] = getComputedStyle(root)
    .backgroundColor.match(/[\d.]+/g)
    .map(Number);
  root.dataset.dark = 0.299 * red + 0.587 * green + 0.114 * blue < 128;
  const style = getComputedStyle(root);
  const read = (name) => style.getPropertyValue(`--mx-${name}`).trim();
  const names = ["ink", "faint", "grid", "first", "second", "third", "bars"];
  return Object.fromEntries(names.map((name) => [name, read(name)]));
}

/** Size a canvas to the width it has on the page, at the screen's own resolution; return its context in CSS pixels. */
export function fitCanvas(canvas, height) {
  const width = Math.max(canvas.clientWidth, 1);
  const ratio = window.devicePixelRatio || 1;
  const [columns, rows] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== columns || canvas.height !== rows) {
    canvas.width = columns;
    canvas.height = rows;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width };
}

/** Draw at most once a frame, and only when asked; root.dataset.draws counts the drawings. */
export function perFrame(root, draw) {
  let waiting = 0;
  root.dataset.draws = 0;
  const run = () => {
    waiting = 0;
    if (!root.isConnected) return;
    draw();
    root.dataset.draws = Number(root.dataset.draws) + 1;
  };
  return () => {
    waiting ||= requestAnimationFrame(run);
  };
}

/** A function that says whether its arguments differ from those of the call before: what is drawn of them is then stale. */
export function differing() {
  let last = [];
  return (...now) => {
    const differs = now.some((one, i) => one !== last[i]);
    last = now;
    return differs;
  };
}

/**
 * Tie a panel to its model: `state` follows the drag in the browser, the model (and Python) hears at release.
 * Returns commit(), to be called at release, and a function that takes everything down again.
 */
export function connect(model, root, state, { show, draw, sentence }) {
  const names = Object.keys(state);
  const status = make("p", { class: "mx-hidden", role: "status" });
  root.append(status);
  let theme = null;
  const ask = perFrame(root, () => draw((theme ??= readTheme(root))));
  const restyle = () => {
    theme = null;
    ask();
  };
  const settle = () => {
    show();
    status.textContent = sentence();
    ask();
  };
  const commit = () => {
    for (const name of names) model.set(name, state[name]);
    model.save_changes();
    settle();
  };
  const listeners = names.map((name) => [
    `change:${name}`,
    () => {
      state[name] = model.get(name);
      settle();
    },
  ]);
  for (const [event, hear] of listeners) model.on(event, hear);
  // JupyterLab takes arrow keys and letters for its own while a slider has the focus; chords such as Ctrl+S stay its own.
  root.addEventListener("keydown", (event) => {
    const chord = event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter");
    if (!chord) event.stopPropagation();
  });
  const sizes = new ResizeObserver(restyle);
  sizes.observe(root);
  const themes = new MutationObserver(restyle);
  themes.observe(document.body, { attributes: true });
  // A still picture of the panel stands beside it for readers without a kernel; here the panel itself is alive.
  root.append(make("style", {}, `.${model.get("_still")} { display: none }`));
  settle();
  const takeDown = () => {
    sizes.disconnect();
    themes.disconnect();
    for (const [event, hear] of listeners) model.off(event, hear);
  };
  return { ask, commit, takeDown };
}

/**
 * Have Python draw what `names` of `state` stand at. A widget has one message under way at a time and the last of what is
 * set meanwhile behind it, so a drag builds up no queue. Returns the function to call after each change.
 */
export function asker(model, state, names) {
  let last = null;
  return () => {
    const wanted = Object.fromEntries(names.map((name) => [name, state[name]]));
    const text = JSON.stringify(wanted);
    if (text === (last ?? JSON.stringify(model.get("_answer").wanted))) return;
    last = text;
    model.set("_wanted", wanted);
    model.save_changes();
  };
}
