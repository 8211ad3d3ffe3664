// The atlas panel: sliders that stop where runs are recorded, two settings side by side, and all pictures of them, in the browser.

import { keepAddress } from "../shared/address.js";
import { connect, field, make, menuOf, newId, slider, write } from "../shared/dom.js";
import { lineLegend, reliabilityDiagram } from "../shared/reliability_diagram.js";
import { chart, costChart, drawCurves, images } from "./pictures.js";
import { comparisonTable, inWords } from "./comparison.js";
import { alike, nearest, skipped, stopsOf, wordsOf } from "./choosing.js";
import { difference, mean, readSettings, scoresOf, valuesOf } from "./numbers.js";

const BIN_COUNTS = [5, 10, 15, 20, 30];
const [TALL, HALF] = [318, 148]; // pixels: a picture, and each of two curves above each other
const SIDES = ["this", "that"];
const PICTURES = [
  ["all", "all"],
  ["curves", "curves"],
  ["reliability", "reliability"],
  ["cost", "cost"],
];

/** A slider whose stops change: `show(stops, value)`. */
function stopSlider(label, say, move, release) {
  let stops = [];
  const scale = {
    min: 0,
    max: 0,
    step: 1,
    say: (value) => (value === null ? "–" : say(value)),
    toValue: (place) => stops[place],
    toPosition: (value) => stops.indexOf(value),
  };
  const bar = slider(label, scale, move, release);
  const show = (now, value) => {
    stops = now;
    bar.range.max = now.length - 1;
    bar.show(value);
  };
  return { node: bar.node, show };
}

/** The controls of a side. */
function sideControls(name, words, follow, release) {
  const menu = make("select", { onChange: () => (follow("variant")(menu.value), release()) });
  const bars = {
    alpha: stopSlider("α", String, follow("alpha"), release),
    k: stopSlider("K", String, follow("k"), release),
    epochs: stopSlider("Epochs", String, follow("epochs"), release),
  };
  const said = make("p", { class: "mx-said-of" });
  const sample = make("i", { class: `mx-side mx-side-${name}`, "aria-hidden": "true" });
  const title = make("div", { class: "mx-side-name", id: newId() }, sample, words);
  const controls = make(
    "div",
    { class: "mx-controls" },
    title,
    field("Variant", menu),
    ...Object.values(bars).map(({ node }) => node),
  );
  const node = make("div", { role: "group", "aria-labelledby": title.id }, controls, said);
  const show = (settings, setting, wanted) => {
    const { axes, runs, cost } = setting;
    fillMenu(menu, stopsOf(settings, axes, "variant"), axes.variant);
    for (const [axis, bar] of Object.entries(bars)) bar.show(stopsOf(settings, axes, axis), axes[axis]);
    const seeds = runs.size === 1 ? "1 run" : `${runs.size} runs, a seed each`;
    write(said, `${seeds}; ${images(cost)} images through the network. ${skipped(axes, wanted)}`);
  };
  return { node, show };
}

function fillMenu(menu, values, value) {
  const names = values.map(String);
  if (names.join() !== [...menu.options].map((option) => option.value).join())
    menu.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
  menu.value = String(value);
}

/** What the panel shows, in a sentence, as describe() in Python. */
export function sentenceOf(one, other, rows, n, student) {
  const parts = Object.entries(rows).map(([name, row]) => {
    const part = difference(one, other, row, n, student);
    return `${name} ${inWords(part, row)}`;
  });
  const { data, images: count } = one.axes;
  const seeds = [...one.runs.keys()].filter((seed) => other.runs.has(seed)).length;
  return (
    `${wordsOf(one.axes)}, less ${wordsOf(other.axes)}; ${count} images of ${data}, ECE in ${n} bins. ` +
    `${parts.join("; ")}. 95% intervals, n = ${seeds}.`
  );
}

/** The state as flat values for an address: those of this as they are, those of that with "that." before them. */
export function flat({ this: one, that: other, ...rest }) {
  const named = Object.entries(other).map(([name, value]) => [`that.${name}`, value]);
  return { ...one, ...Object.fromEntries(named), ...rest };
}

/** The state of flat values; what they lack or get wrong stays as it is in `state`. */
export function unflat(state, values) {
  const take = (now, prefix = "") =>
    Object.fromEntries(
      Object.entries(now).map(([name, value]) => {
        const given = values[prefix + name];
        return [name, given === undefined || name in { this: 0, that: 0 } ? value : given];
      }),
    );
  const next = { ...take(state), this: take(state.this), that: take(state.that, "that.") };
  const known = BIN_COUNTS.includes(next.n_bins) && PICTURES.some(([name]) => name === next.picture);
  return known ? next : { ...state, this: next.this, that: next.that };
}

function showPanel({ model, el }) {
  const state = Object.fromEntries(
    ["this", "that", "n_bins", "tempered", "picture"].map((name) => [name, model.get(name)]),
  );
  const { buffer, byteOffset, byteLength } = model.get("_numbers");
  const settings = readSettings(model.get("_settings"), buffer.slice(byteOffset, byteOffset + byteLength));
  const [rows, student] = [model.get("_rows"), model.get("_student")];
  const settingOf = (side) => nearest(settings, state[side]);
  // What was last asked for, also where no run is: a drag across a gap comes back to it.
  const [wanted, last] = [{}, {}];
  const place = (side, axes) => {
    [state[side], last[side]] = [axes, axes];
  };
  const move = (side, name, value) => {
    wanted[side] = { ...wanted[side], [name]: value };
    place(side, nearest(settings, wanted[side], name).axes);
  };
  /** Take over a setting that did not come from the sliders. */
  const adopt = (side) => {
    if (state[side] === last[side]) return;
    place(side, settingOf(side).axes);
    wanted[side] = { ...state[side], alpha: state[side].alpha ?? wanted[side]?.alpha ?? state.this.alpha };
  };

  const root = make("div", {
    class: "mixlab-panel mx-training mx-atlas",
    role: "group",
    "aria-label": "Atlas of runs",
  });
  const follow = (side) => (name) => (value) => {
    move(side, name, value);
    show();
    ask();
  };
  const followBoth = (name) => (value) => {
    for (const side of SIDES) move(side, name, value);
    show();
    ask();
  };
  const release = () => commit();
  const sides = {
    this: sideControls("one", "This", follow("this"), release),
    that: sideControls("two", "That", follow("that"), release),
  };
  const dataMenu = make("select", { onChange: () => (followBoth("data")(dataMenu.value), release()) });
  const modelMenu = make("select", { onChange: () => (followBoth("model")(modelMenu.value), release()) });
  const bars = {
    images: stopSlider("Training images", (count) => count.toLocaleString("en"), followBoth("images"), release),
    n_bins: stopSlider("Bins of ECE", String, (value) => ((state.n_bins = value), ask()), release),
  };
  const diagramMenu = menuOf(
    [
      [false, "raw"],
      [true, "after temperature"],
    ],
    (value) => ((state.tempered = value === "true"), release()),
  );
  const pictureMenu = menuOf(PICTURES, (value) => ((state.picture = value), release()));
  const swap = make("button", { type: "button" }, "Swap");
  swap.addEventListener("click", () => {
    [state.this, state.that] = [state.that, state.this];
    commit();
  });

  const table = comparisonTable(rows, student);
  const accuracy = chart("Test accuracy in %");
  const error = chart("Test ECE in points, raw, 15 bins");
  const diagram = reliabilityDiagram();
  const diagramName = make("div", { class: "mx-chart-name" });
  const cost = costChart(student, (axes) => {
    state.this = axes;
    commit();
  });
  const legend = make("p", { class: "mx-legend" });
  const pictures = make(
    "div",
    { class: "mx-pictures" },
    make("div", { class: "mx-curves" }, accuracy.node, error.node),
    make("div", { class: "mx-reliability" }, diagramName, diagram.node),
    make("div", { class: "mx-cost" }, cost.node),
  );
  const several = new Set(settings.map(({ axes }) => axes.model)).size > 1;
  root.append(
    make(
      "div",
      { class: "mx-controls" },
      field("Data", dataMenu),
      ...(several ? [field("Model", modelMenu)] : []),
      bars.images.node,
      bars.n_bins.node,
      field("Diagram", diagramMenu),
      field("Pictures", pictureMenu),
      swap,
    ),
    sides.this.node,
    sides.that.node,
    table.node,
    legend,
    pictures,
  );
  el.append(root);

  const show = () => {
    SIDES.forEach(adopt);
    fillMenu(dataMenu, stopsOf(settings, state.this, "data"), state.this.data);
    fillMenu(modelMenu, stopsOf(settings, state.this, "model"), state.this.model);
    bars.images.show(stopsOf(settings, state.this, "images"), state.this.images);
    bars.n_bins.show(BIN_COUNTS, state.n_bins);
    diagramMenu.value = String(state.tempered);
    pictureMenu.value = state.picture;
    for (const side of SIDES) sides[side].show(settings, settingOf(side), wanted[side]);
    pictures.dataset.picture = state.picture;
    legend.replaceChildren(...lineLegend(SIDES.map((side) => `${side}: ${wordsOf(state[side])}`)));
  };
  const tops = new Map(); // of the curves' axes, of all settings with the same data
  const topsOf = (scope) => {
    const key = scope[0];
    const curves = scope.flatMap(({ runs }) => [...runs.values()].flatMap(({ curve }) => curve));
    if (!tops.has(key))
      tops.set(
        key,
        [2, 4].map((column) => 105 * Math.max(...curves.map((row) => row[column]))),
      );
    return tops.get(key);
  };
  const draw = () => {
    const pair = SIDES.map(settingOf);
    const [one, other] = pair;
    const scope = alike(settings, one.axes);
    const shown = (name) => ["all", name].includes(state.picture);
    table.draw(one, other, scope, state.n_bins);
    if (shown("curves")) {
      const [ofAccuracy, ofError] = topsOf(scope);
      drawCurves(accuracy, pair, { column: 2, top: ofAccuracy, tall: HALF, what: "Test accuracy in percent" });
      drawCurves(error, pair, { column: 4, top: ofError, tall: HALF, what: "Test ECE in points" });
    }
    if (shown("reliability")) {
      const scores = pair.map((side) => scoresOf(side, state.tempered, state.n_bins));
      const eces = pair.map((side) => mean([...valuesOf(side, "ece", state.tempered, state.n_bins).values()]));
      const say = (_, i) => `ECE ${(100 * eces[i]).toFixed(1)}`;
      write(diagramName, `Reliability, ${state.tempered ? "after temperature" : "raw"}; ECE in points`);
      diagram.draw(scores, [Math.max(diagram.node.clientWidth, 200), TALL], say);
      diagram.node.setAttribute(
        "aria-label",
        `Reliability diagram in ${state.n_bins} bins. ${pair.map((side, i) => `${wordsOf(side.axes)}: ${say(0, i)} points, mean of the seeds`).join("; ")}.`,
      );
    }
    if (shown("cost")) cost.draw(scope, pair, TALL);
  };
  const sentence = () => sentenceOf(...SIDES.map(settingOf), rows, state.n_bins, student);
  const { ask, commit, takeDown } = connect(model, root, state, { show, draw, sentence });
  if (!model.get("_address")) return takeDown;
  const { write: writeAddress, stop } = keepAddress(
    () => flat(state),
    (values) => {
      Object.assign(state, unflat(state, values));
      commit();
    },
  );
  root.addEventListener("change", writeAddress);
  root.addEventListener("click", writeAddress);
  return () => {
    stop();
    takeDown();
  };
}

export default { render: showPanel };
