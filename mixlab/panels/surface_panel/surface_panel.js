// The surface panel: the loss around one network or two, measured by Python, as surfaces that turn under a drag.

import { differing, field, fitCanvas, make, menuOf, slider, write } from "../shared/dom.js";
import { showRunPanel } from "../shared/running.js";
import { holds, turned } from "./geometry.js";
import { contoursOf, drawSurface, printed } from "./scene.js";

const PANEL = {
  names: ["on", "seed", "height", "cut", "azimuth", "elevation"],
  kind: "mx-surfaces",
  label: "Loss surfaces",
  stepwise: false,
  work: {
    name: "Measuring",
    start: "Measure this plane; a measuring at work is replaced",
    pause: "Pause after this row",
    stop: "End the measuring now",
    reset: "Forget the planes and put the controls back",
  },
};
const TALLEST = 460; // of a surface, in pixels
const NARROW = 560; // below this width the second surface stands under the first
const TURN = 0.5; // degrees a pixel of a drag
const KEY_TURN = 5; // degrees a key
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const UNITS = { loss: "loss, nats", error: "error" };
const CUT_SCALE = {
  min: -1,
  max: Math.log10(20),
  step: 0.01,
  toValue: (position) => Number((10 ** position).toPrecision(3)),
  toPosition: Math.log10,
  say: (cut) => `${Number(cut.toPrecision(2))} nats`,
};

/** A table of rows of words; the first is its head, and so is the first word of each row. */
function tableOf([head, ...rows]) {
  const named = (word, scope) => make("th", { scope }, word);
  const line = ([name, ...values]) =>
    make("tr", {}, named(name, "row"), ...values.map((value) => make("td", {}, value)));
  const first = make("tr", {}, ...head.map((word) => named(word, "col")));
  return [make("thead", {}, first), make("tbody", {}, ...rows.map(line))];
}

/** The heights of each network by kind, in the order of their names, from the synced bytes. */
export function unpack(view, names, kinds, side) {
  const all = new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
  return names.map((_, i) =>
    Object.fromEntries(
      kinds.map((kind, k) => {
        const start = (i * kinds.length + k) * side * side;
        const measured = all.subarray(start, start + side * side);
        return [kind, measured.length ? measured : new Float32Array(side * side).fill(NaN)];
      }),
    ),
  );
}

/** The grid point that lies nearest to a place on the canvas, of the frontmost cell there; null where no cell is. */
export function picked({ painted, at }, x, y) {
  const front = painted.findLast(({ points }) => holds(points, x, y));
  if (!front) return null;
  const [row, column] = front.cell;
  const distance = (point) => {
    const [left, top] = at(point);
    return Math.hypot(left - x, top - y);
  };
  return [
    [row, column],
    [row, column + 1],
    [row + 1, column],
    [row + 1, column + 1],
  ].reduce((best, one) => (distance(one) < distance(best) ? one : best));
}

/** What turns under a pointer or arrow keys; with Shift, keys move the point, and a pointer that only hovers does too. */
function listen(canvas, { turn, release, move, hover }) {
  let last = null;
  const place = ({ clientX, clientY }) => {
    const { left, top } = canvas.getBoundingClientRect();
    return [clientX - left, clientY - top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = place(event);
    hover(...last);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (last) turn(TURN * (x - last[0]), TURN * (y - last[1]));
    else hover(x, y);
    last &&= [x, y];
  });
  const end = () => {
    if (last) release();
    last = null;
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("keydown", (event) => {
    const step = KEYS[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (event.shiftKey) move(...step);
    else turn(KEY_TURN * step[0], KEY_TURN * step[1]);
  });
  canvas.addEventListener("keyup", ({ key }) => {
    if (KEYS[key]) release();
  });
}

/** The surfaces side by side on one canvas, or one above the other where it is narrow. */
function pictures(names, axis, colors) {
  const canvas = make("canvas", { class: "mx-plot mx-drag", role: "application", tabindex: 0 });
  let scenes = [];
  const draw = (theme, view, surfaces, point) => {
    const stacked = canvas.clientWidth < NARROW;
    const [rows, columns] = stacked ? [names.length, 1] : [1, names.length];
    const wide = Math.max(canvas.clientWidth, 1) / columns;
    const tall = Math.min(wide, TALLEST);
    const { context } = fitCanvas(canvas, tall * rows);
    scenes = surfaces.map((surface, i) => {
      const part = { left: stacked ? 0 : i * wide, top: stacked ? i * tall : 0, width: wide, height: tall };
      return drawSurface(context, part, theme, view, surface, { point, colors });
    });
  };
  const at = (x, y) => scenes.reduce((best, scene) => best ?? picked(scene, x, y), null);
  return { canvas, draw, at };
}

function build({ model, state, follow, release, settle, redraw, seed }) {
  const [names, axis, kinds] = [model.get("_names"), model.get("_axis"), model.get("_kinds")];
  const last = axis.length - 1;
  let point = [last / 2, last / 2]; // whose numbers are read out
  let [tables, surfaces] = [[], []];

  const on = menuOf(Object.entries(model.get("_on")), (value) => settle({ on: value }));
  const height = menuOf(Object.entries(kinds), (value) => settle({ height: value }));
  const cut = slider("Cut, log scale", CUT_SCALE, follow("cut"), release);
  const { canvas, draw: drawAll, at } = pictures(names, axis, model.get("_heat"));
  const readout = make("p", { class: "mx-readout" });
  const numbers = make("table", { class: "mx-numbers" });
  const said = make("p", { class: "mx-note" });
  const hint = make(
    "p",
    { class: "mx-key-words" },
    "Drag to turn; point to read. Keys: arrows turn, Shift and arrows move the point.",
  );
  const note = make("p", { class: "mx-key-words" }, model.get("_note"));

  const goTo = (place) => {
    if (!place || (place[0] === point[0] && place[1] === point[1])) return;
    point = place;
    redraw();
  };
  listen(canvas, {
    turn(right, up) {
      Object.assign(state, turned(state, right, up));
      redraw();
    },
    release,
    move: (right, up) => goTo([point[0] + right, point[1] + up].map((i) => Math.min(Math.max(i, 0), last))),
    hover: (x, y) => goTo(at(x, y)),
  });

  const words = () => {
    const [row, column] = point;
    const each = tables.map(({ loss, error }, i) => {
      const [one, other] = [loss, error].map((values) => values[row * axis.length + column]);
      return `${names[i]} ${Number.isNaN(one) ? "not measured yet" : `${printed(one)} nats, error ${printed(other)}`}`;
    });
    return `At a = ${printed(axis[row])}, b = ${printed(axis[column])}: ${each.join("; ")}.`;
  };
  const isOld = differing();
  const isStale = differing(); // neither contour lines nor numbers change while the surfaces turn
  const draw = (view, theme) => {
    const bytes = model.get("_heights");
    const top = state.height === "loss" ? state.cut : 1;
    if (isStale(bytes, state.height, top)) {
      tables = unpack(bytes, names, Object.keys(kinds), axis.length);
      surfaces = tables.map((table, i) => {
        const heights = table[state.height];
        return {
          name: names[i],
          unit: UNITS[state.height],
          axis,
          heights,
          top,
          contours: contoursOf(axis, heights, top),
        };
      });
    }
    drawAll(theme, state, surfaces, point);
    write(readout, words());
    write(said, view.said);
    if (isOld(view)) numbers.replaceChildren(...(view.table.length ? tableOf(view.table) : []));
    canvas.setAttribute("aria-label", `The ${kinds[state.height]} around ${names.join(" and ")}. ${words()}`);
  };
  const show = () => {
    [on.value, height.value] = [state.on, state.height];
    cut.show(state.cut);
    cut.range.disabled = state.height !== "loss";
  };
  const sentence = () =>
    `Seen from ${printed(state.azimuth, 0)} degrees round, ${printed(state.elevation, 0)} degrees up. ${words()} ` +
    `For the next start: ${model.get("_on")[state.on]}, seed ${state.seed}.`;
  const rows = [{ on: field("Images", on), seed }];
  const looks = make("div", { class: "mx-controls" }, field("Height", height), cut.node);
  return { rows, below: [looks, canvas, readout, hint, numbers, said, note], show, draw, sentence };
}

export default { render: (context) => showRunPanel(context, PANEL, build) };
