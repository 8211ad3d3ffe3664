// The blend panel: λ between two voices, series, rows or sentences. Python computed what is heard, drawn and read.

import { drawAxes } from "../shared/axes.js";
import { connect, field, fitCanvas, legendItem, make, menuOf, slider } from "../shared/dom.js";
import { bytesOf, heatBytes, paint } from "../shared/pictures.js";

const HEIGHT = 250;
const EDGE = { left: 52, right: 14, top: 8, bottom: 46 };
const STOPS = 11;
const TENTHS = {
  min: 0,
  max: STOPS - 1,
  step: 1,
  toValue: (stop) => stop / (STOPS - 1),
  toPosition: (lam) => Math.round(lam * (STOPS - 1)),
  say: (lam) => lam.toFixed(1),
};
const stopOf = TENTHS.toPosition;

/** The log-mel spectrogram of a view at λ, bytes [bands, frames]. */
export function heatAt(pictures, { place, bands, frames }, lam) {
  const size = bands * frames;
  return pictures.subarray((place * STOPS + stopOf(lam)) * size).subarray(0, size);
}

/** The wave of a view at λ, from -1 to 1. */
export function soundAt(sounds, { place, samples }, lam) {
  const first = 2 * samples * (place * STOPS + stopOf(lam));
  return Float32Array.from({ length: samples }, (_, i) => sounds.getInt16(first + 2 * i, true) / 32768);
}

/** λ a + (1 - λ) b. */
export const blended = ([a, b], lam) => a.map((value, i) => lam * value + (1 - lam) * b[i]);

/** What the panel shows, in words. */
export function sentence(view, lam) {
  const said = `${view.name}: ${lam.toFixed(1)} of the first and ${(1 - lam).toFixed(1)} of the second.`;
  if (view.kind !== "words") return said;
  return `${said} ${view.rows[stopOf(lam)].map(([part, words]) => `${part}: ${words}`).join("; ")}.`;
}

/** Round numbers whose first and last hold all values. */
function ticksOf(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const step = 10 ** Math.floor(Math.log10(Math.max(high - low, 1e-6))) * (high - low > 4 ? 1 : 0.5);
  const [first, last] = [Math.floor(low / step), Math.max(Math.ceil(high / step), Math.floor(low / step) + 1)];
  const stride = Math.ceil((last - first) / 6);
  const count = Math.ceil((last - first) / stride) + 1;
  return Array.from({ length: count }, (_, i) => Number(((first + i * stride) * step).toPrecision(6)));
}

function frameOf(canvas) {
  const { context, width } = fitCanvas(canvas, HEIGHT);
  return {
    context,
    place: { left: EDGE.left, right: width - EDGE.right, top: EDGE.top, bottom: HEIGHT - EDGE.bottom },
  };
}

function drawHeat(canvas, theme, view, heat, scale) {
  const { context, place } = frameOf(canvas);
  const small = make("canvas", { width: view.frames, height: view.bands });
  paint(small, heatBytes(scale, heat));
  const tenths = Array.from({ length: 6 }, (_, i) => Number(((i * view.seconds) / 5).toFixed(2)));
  const bands = Array.from({ length: 5 }, (_, i) => (i * view.bands) / 4);
  drawAxes(context, theme, place, { ticks: tenths, name: "seconds" }, { ticks: bands, name: "mel band" });
  context.save();
  context.imageSmoothingEnabled = false;
  context.translate(0, place.bottom + place.top); // low bands are at the bottom
  context.scale(1, -1);
  context.drawImage(small, place.left, place.top, place.right - place.left, place.bottom - place.top);
  context.restore();
}

function drawLines(canvas, theme, [a, b], lam) {
  const { context, place } = frameOf(canvas);
  const times = Array.from({ length: 5 }, (_, i) => (i * a.length) / 4);
  const { line } = drawAxes(
    context,
    theme,
    place,
    { ticks: times, name: "time" },
    { ticks: ticksOf([...a, ...b]), name: "value" },
  );
  const points = (values) => values.map((value, time) => [time, value]);
  line(points(a), theme.faint, 1.5, [2, 3]);
  line(points(b), theme.faint, 1.5, [7, 4]);
  line(points(blended([a, b], lam)), theme.first, 2.5);
}

function tableOf(rows) {
  const cells = rows.map(([part, words]) => make("tr", {}, make("th", { scope: "row" }, part), make("td", {}, words)));
  return make("tbody", {}, ...cells);
}

/** Play samples once; a new sound stops the last one. */
function player(rate) {
  let context = null;
  let last = null;
  return (samples) => {
    context ??= new AudioContext();
    last?.stop();
    const buffer = context.createBuffer(1, samples.length, rate);
    buffer.copyToChannel(samples, 0);
    last = context.createBufferSource();
    last.buffer = buffer;
    last.connect(context.destination);
    last.start();
  };
}

function showPanel({ model, el }) {
  const state = { lam: model.get("lam"), view: model.get("view") };
  const [views, scale] = [model.get("_views"), model.get("_heat")];
  const [pictures, sounds] = [bytesOf(model.get("_pictures")), model.get("_sounds")];
  const shown = () => views.find(({ name }) => name === state.view);
  const say = () => sentence(shown(), state.lam);
  const root = make("div", {
    class: "mixlab-panel mx-blend",
    role: "group",
    "aria-label": "What lies between two examples",
  });
  const canvas = make("canvas", { role: "img", class: "mx-plot" });
  const table = make("table");
  const legend = make(
    "p",
    { class: "mx-legend" },
    legendItem("line", "the blend"),
    make("span", {}, "dotted: the first"),
    make("span", {}, "dashed: the second"),
  );
  const play = player(views[0].rate);
  const button = make("button", { onClick: () => play(soundAt(sounds, shown(), state.lam)) }, "Play the blend");
  const look = (theme) => {
    const { kind, ...view } = shown();
    canvas.hidden = kind === "words";
    table.hidden = kind !== "words";
    legend.hidden = kind !== "lines";
    button.hidden = kind !== "sound";
    if (kind === "sound") drawHeat(canvas, theme, view, heatAt(pictures, view, state.lam), scale);
    else if (kind === "lines") drawLines(canvas, theme, view.lines, state.lam);
    else table.replaceChildren(tableOf(view.rows[stopOf(state.lam)]));
    canvas.setAttribute("aria-label", say());
  };
  const lam = slider(
    "λ, the share of the first",
    TENTHS,
    (value) => {
      state.lam = value;
      ask();
    },
    () => commit(),
  );
  const menu = menuOf(
    views.map(({ name }) => [name, name]),
    (value) => {
      state.view = value;
      commit();
    },
  );
  root.append(
    make("div", { class: "mx-controls" }, field("Blend", menu), lam.node, button),
    make("div", { class: "mx-stage" }, legend, canvas, table),
  );
  el.append(root);
  const { ask, commit, takeDown } = connect(model, root, state, {
    show: () => {
      lam.show(state.lam);
      menu.value = state.view;
    },
    draw: look,
    sentence: say,
  });
  return takeDown;
}

export default { render: showPanel };
