// The variance panel: what K blends of each pair leave of a gradient's variance, and what K times as many pairs leave.

import { drawAxes } from "../shared/axes.js";
import { PLAIN_SCALE, connect, fitCanvas, legendItem, make, slider } from "../shared/dom.js";

const HEIGHT = 320;
const EDGE = { left: 62, right: 14, top: 12, bottom: 46 };
const MOST = 16;
const STEPS = 150;
const KS = [1, 2, 4, 6, 8, 10, 12, 14, MOST];

/** V_pairs + V_λ/K and, of K times as many pairs, V/K; over V(1). */
export const blends = (floor, k) => floor + (1 - floor) / k;
export const pairs = (k) => 1 / k;

/** What the picture shows at K, in words. */
export function sentence(floor, k) {
  const [left, ofLam, larger] = [blends(floor, k), (1 - floor) / k, pairs(k)].map((value) => value.toFixed(2));
  return (
    `K = ${k}: blends leave ${left} of the variance at K = 1, ${floor.toFixed(2)} from the pairs and ${ofLam} from λ. ` +
    `As many images through the network, all of different pairs, leave ${larger}.`
  );
}

function draw(canvas, theme, { floor, measured, k }) {
  const { context: ink, width } = fitCanvas(canvas, HEIGHT);
  const place = { left: EDGE.left, right: width - EDGE.right, top: EDGE.top, bottom: HEIGHT - EDGE.bottom };
  const most = Math.max(1, ...measured.flat().map(([, , , high]) => high));
  const ticks = Array.from({ length: Math.ceil(most / 0.25 - 1e-9) + 1 }, (_, i) => i / 4);
  const x = { ticks: KS, name: "K" };
  const { line, mark } = drawAxes(ink, theme, place, x, { ticks, name: "variance over that at K = 1" });
  const at = (one) => (low, high) => [
    [one, low],
    [one, high],
  ];
  const across = (law) =>
    Array.from({ length: STEPS + 1 }, (_, i) => 1 + ((MOST - 1) * i) / STEPS).map((here) => [here, law(here)]);
  line(at(k)(0, floor), theme.bars, 14);
  line(at(k)(floor, blends(floor, k)), theme.first, 14);
  line(
    across(() => floor),
    theme.faint,
    1.5,
    [2, 3],
  );
  line(
    across((here) => blends(floor, here)),
    theme.first,
    2.5,
  );
  line(across(pairs), theme.ink, 2, [7, 4]);
  measured.forEach((rows, larger) => {
    for (const [here, value, low, high] of rows) {
      line(at(here)(low, high), theme.ink, 1.5);
      mark(here, value, theme.second, Boolean(larger));
    }
  });
}

function showPanel({ model, el }) {
  const state = { k: model.get("k") };
  const [floor, measured] = [model.get("_floor"), [model.get("_blends"), model.get("_pairs")]];
  const say = () => sentence(floor, state.k);
  const root = make("div", {
    class: "mixlab-panel mx-variance",
    role: "group",
    "aria-label": "What K blends leave of the variance",
  });
  const canvas = make("canvas", { role: "img", class: "mx-plot" });
  const words = make("p", { class: "mx-words", "aria-hidden": "true" });
  const legend = make(
    "p",
    { class: "mx-legend" },
    legendItem("line", "K blends: V_pairs + V_λ/K"),
    legendItem("dot", "measured, with its interval"),
    legendItem("bar", "the pairs' part at this K"),
    make("span", {}, "dashed, squares: K times as many pairs, V/K"),
    make("span", {}, "dotted: the floor, V_pairs"),
  );
  const look = (theme) => {
    draw(canvas, theme, { floor, measured, k: state.k });
    words.textContent = say();
    canvas.setAttribute("aria-label", `Variance against K. ${say()} The floor is ${floor.toFixed(2)}.`);
  };
  const k = slider(
    "K, blends of each pair",
    { ...PLAIN_SCALE, min: 1, max: MOST },
    (value) => {
      state.k = value;
      ask();
    },
    () => commit(),
  );
  root.append(make("div", { class: "mx-controls" }, k.node), legend, canvas, words);
  el.append(root);
  const { ask, commit, takeDown } = connect(model, root, state, {
    show: () => k.show(state.k),
    draw: look,
    sentence: say,
  });
  return takeDown;
}

export default { render: showPanel };
