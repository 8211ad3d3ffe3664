// The atlas panel: sliders that stop where runs are recorded, two settings side by side, and pictures of them, in the browser.

import { keepAddress } from "../shared/address.js";
import { connect, differing, field, make, menuOf, write } from "../shared/dom.js";
import { lineLegend } from "../shared/reliability_diagram.js";
import { alike, flat, nearest, stopsOf, unflat, wordsOf } from "./choosing.js";
import { comparisonTable } from "./comparison.js";
import { changingMenu, sideControls, stopSlider } from "./controls.js";
import { costChart } from "./cost.js";
import { readSettings } from "./numbers.js";
import { curveCharts, reliabilityChart } from "./pictures.js";
import { bestFor, describe } from "./words.js";

const CONTROLS = ["this", "that", "n_bins", "tempered", "picture"];
const SIDES = ["this", "that"];
const BIN_COUNTS = [5, 10, 15, 20, 30];
const PICTURES = ["all", "curves", "reliability", "cost"];
const WHEN = [
  [false, "raw"],
  [true, "after T", "after a temperature T, fitted to the other half of the test images"],
];

/** The two settings on show: `move` takes the nearest that exists, and a drag over a gap comes back to what was asked. */
function chosenOf(settings, state) {
  const [wanted, last] = [{}, {}];
  const place = (side, { axes }) => Object.assign(state, { [side]: (last[side] = axes) });
  const move = (side, axis, value) => {
    wanted[side] = { ...wanted[side], [axis]: value };
    place(side, nearest(settings, wanted[side], axis));
  };
  const alphaOf = () => state.this.alpha ?? state.that.alpha ?? 1; // until one is asked for
  /** Take over what did not come from the sliders. */
  const adopt = () => {
    for (const side of SIDES.filter((name) => state[name] !== last[name])) {
      place(side, nearest(settings, state[side]));
      wanted[side] = { ...state[side], alpha: state[side].alpha ?? wanted[side]?.alpha ?? alphaOf() };
    }
  };
  const pair = () => SIDES.map((side) => nearest(settings, state[side]));
  return { move, adopt, pair, wanted };
}

async function showPanel({ model, el }) {
  const settings = await readSettings(model.get("_settings"), model.get("_numbers"));
  const state = Object.fromEntries(CONTROLS.map((name) => [name, model.get(name)]));
  const [rows, student] = [model.get("_rows"), model.get("_student")];
  const chosen = chosenOf(settings, state);

  const follow = (sides, axis, value) => {
    for (const side of sides) chosen.move(side, axis, value);
    ask();
  };
  const settle = (change) => {
    Object.assign(state, change);
    commit();
  };
  const release = () => commit();
  const menuFor = (label, axis) =>
    changingMenu(label, (name) => {
      follow(SIDES, axis, name);
      release();
    });
  const menus = { data: menuFor("Data", "data"), model: menuFor("Model", "model") };
  const count = (value) => value.toLocaleString("en");
  const size = stopSlider("Training images", count, (value) => follow(SIDES, "images", value), release);
  const bins = stopSlider("Bins of ECE", String, (value) => ask(Object.assign(state, { n_bins: value })), release);
  const when = menuOf(WHEN, (value) => settle({ tempered: value === "true" }));
  const which = menuOf(
    PICTURES.map((name) => [name, name]),
    (picture) => settle({ picture }),
  );
  const swap = make("button", { type: "button" }, "Swap");
  swap.addEventListener("click", () => settle({ this: state.that, that: state.this }));
  const sides = ["This", "That"].map((words, i) =>
    sideControls(["one", "two"][i], words, (axis, value) => follow([SIDES[i]], axis, value), release),
  );

  const table = comparisonTable(rows, student);
  const pictures = {
    curves: curveCharts(),
    reliability: reliabilityChart(),
    cost: costChart(student, (axes) => settle({ this: axes })),
  };
  const grid = make("div", { class: "mx-pictures" }, ...Object.values(pictures).map(({ node }) => node));
  const legend = make("p", { class: "mx-legend" });
  const best = make("p", { class: "mx-best" });
  const several = new Set(settings.map(({ axes }) => axes.model)).size > 1;
  const shared = [menus.data.node, ...(several ? [menus.model.node] : []), size.node, bins.node];
  const root = make(
    "div",
    { class: "mixlab-panel mx-training mx-atlas", role: "group", "aria-label": "Atlas of runs" },
    make("div", { class: "mx-controls" }, ...shared, field("Calibration", when), field("Pictures", which)),
    ...sides.map(({ node }) => node),
    table.node,
    make("div", { class: "mx-key-row" }, legend, swap),
    grid,
    best,
  );
  el.append(root);

  const show = () => {
    chosen.adopt();
    for (const [axis, menu] of Object.entries(menus)) menu.show(stopsOf(settings, state.this, axis), state.this[axis]);
    size.show(stopsOf(settings, state.this, "images"), state.this.images);
    bins.show(BIN_COUNTS, state.n_bins);
    Object.assign(when, { value: String(state.tempered) });
    which.value = grid.dataset.picture = state.picture;
    chosen.pair().forEach((setting, i) => sides[i].show(settings, setting, chosen.wanted[SIDES[i]]));
    legend.replaceChildren(...lineLegend(SIDES.map((side) => `${side}: ${wordsOf(state[side])}`)));
  };
  const bestIsStale = differing();
  const draw = () => {
    const shown = Object.entries(pictures).filter(([name]) => ["all", name].includes(state.picture));
    const widths = shown.map(([, { width }]) => width()); // all before anything is written, which takes a new layout
    show();
    const pair = chosen.pair();
    const scope = alike(settings, pair[0].axes);
    table.draw(pair, scope, state.n_bins);
    shown.forEach(([, picture], i) => picture.draw(pair, widths[i], scope, state));
    if (bestIsStale(scope[0], pair[0].cost)) write(best, bestFor(scope, pair[0].cost, student));
  };
  const sentence = () => describe(...chosen.pair(), rows, state.n_bins, student);
  const { ask, commit, takeDown } = connect(model, root, state, { show, draw, sentence });
  if (!model.get("_address")) return takeDown;
  const allowed = { n_bins: BIN_COUNTS, tempered: [false, true], picture: PICTURES };
  const stop = keepAddress(
    model,
    CONTROLS,
    () => flat(state),
    (values) => settle(unflat(state, values, allowed)),
  );
  return () => {
    stop();
    takeDown();
  };
}

export default { render: showPanel };
