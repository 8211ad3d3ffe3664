// The training panel: controls that stay alive while Python trains, and what Python says of the run, some times a second.

import { curves, ink, widthOf } from "../shared/diagram.js";
import { ALPHA_SCALE, K_SCALE, PLAIN_SCALE, differing, field, make, menuOf, slider, write } from "../shared/dom.js";
import { barLegend, reliabilityDiagram } from "../shared/reliability_diagram.js";
import { showRunPanel } from "../shared/running.js";

const PANEL = {
  names: ["variant", "alpha", "k", "images", "epochs", "seed", "prediction"],
  kind: "mx-live",
  label: "Train it live",
  stepwise: true,
};
const TALL = 280; // of a reliability diagram, in pixels

/** The stops of a log slider of counts from `low` to `high`: of two digits, both ends, and the count it begins at. */
export function stopsOf([low, high], first) {
  const most = Math.ceil(40 * Math.log10(high));
  const round = Array.from({ length: most }, (_, i) => Number((10 ** (i / 40)).toPrecision(2)));
  const stops = [low, first, high, ...round.filter((count) => count > low && count < high)];
  return [...new Set(stops.map(Math.round))].sort((one, other) => one - other);
}

/** The scale of a slider whose every key step is another of these ascending numbers. */
export function scaleOf(stops, say) {
  const toPosition = (value) =>
    Math.max(
      stops.findLastIndex((stop) => stop <= value),
      0,
    );
  return { min: 0, max: stops.length - 1, step: 1, say, toPosition, toValue: (position) => stops[position] };
}

const count = (value) => value.toLocaleString("en");
const share = (value) => (value === null ? "none yet" : value.toFixed(2));

/** A slider of the panel; its release is the panel's. */
function sliders(limits, { images }, follow, release) {
  const [low, high] = limits.epochs;
  return {
    alpha: slider("α, log scale", ALPHA_SCALE, follow("alpha"), release),
    k: slider("K, mixes a pair", K_SCALE, follow("k"), release),
    images: slider("Images", scaleOf(stopsOf(limits.images, images), count), follow("images"), release),
    epochs: slider("Epochs", { ...PLAIN_SCALE, min: low, max: high }, follow("epochs"), release),
    prediction: slider(
      "Predicted accuracy",
      { ...PLAIN_SCALE, max: 1, step: 0.01, say: share, toPosition: (value) => value ?? 0.5 },
      follow("prediction"),
      release,
    ),
  };
}

function figure(words, svg = ink("svg", { role: "img", class: "mx-figure" }), ...below) {
  const value = make("span", { class: "mx-reached" });
  const heading = make("div", { class: "mx-chart-name" }, words, value);
  return { svg, value, node: make("div", { class: "mx-chart" }, heading, svg, ...below) };
}

const RUNS = ["This run", "The run before"];

function charts() {
  const accuracy = figure("Test accuracy");
  const loss = figure("Training loss in nats");
  const diagrams = RUNS.map((name) => {
    const [note, diagram] = [make("div", { class: "mx-note" }), reliabilityDiagram()];
    return { note, diagram, ...figure(`Reliability: ${name.toLowerCase()}`, diagram.node, note) };
  });
  const legend = make("p", { class: "mx-legend mx-runs" });
  const swatches = ["mx-current", "mx-ghost"].map((kind) => {
    const sample = ink("svg", { class: "mx-sample", viewBox: "0 0 34 8", "aria-hidden": "true" });
    sample.append(ink("line", { class: kind, x1: 1, x2: 33, y1: 4, y2: 4 }));
    return sample;
  });

  const drawCurves = ({ runs }, state) => {
    legend.replaceChildren(
      ...runs.map(({ name, size }, i) => make("span", {}, swatches[i], `${RUNS[i]}: ${name}; ${size}`)),
    );
    const epochs = Math.max(...runs.map((run) => run.epochs), runs.length ? 1 : state.epochs);
    const levels = [];
    const said = runs.length ? runs[0].prediction : null;
    if (said !== null) levels.push([said, `you said ${share(said)}`, "mx-level"]);
    if (state.prediction !== null && state.prediction !== said) {
      levels.push([state.prediction, `you say ${share(state.prediction)}`, "mx-level mx-next"]);
    }
    curves(
      accuracy.svg,
      runs.map((run) => run.accuracy),
      { epochs, top: 1, levels, dots: true },
    );
    const losses = runs.flatMap((run) => run.loss.map(([, value]) => value));
    curves(
      loss.svg,
      runs.map((run) => run.loss),
      { epochs, top: 1.08 * Math.max(...losses, 0.5), dots: false },
    );
    const last = (points) => (points.length ? points.at(-1)[1].toFixed(2) : "nothing yet");
    for (const [{ svg, value }, what, pick] of [
      [accuracy, "Test accuracy", (run) => run.accuracy],
      [loss, "Training loss", (run) => run.loss],
    ]) {
      const ends = runs.map((run) => last(pick(run)));
      value.textContent = ends.length ? `: ${ends[0]}${ends.length > 1 ? `, before ${ends[1]}` : ""}` : "";
      const words = runs.map((run, i) => `${RUNS[i]}, ${run.name}: ${ends[i]}`).join(". ") || "Nothing yet";
      svg.setAttribute("aria-label", `${what} by epoch. ${words}.`);
    }
    for (const [, words] of levels)
      accuracy.svg.setAttribute("aria-label", `${accuracy.svg.getAttribute("aria-label")} A line: ${words}.`);
  };
  const drawDiagrams = ({ runs }) => {
    diagrams.forEach(({ svg, note, diagram }, i) => {
      const scores = runs[i]?.diagram;
      note.textContent = scores ? `${runs[i].name}: ${scores.words}` : `${RUNS[i]} will stand here.`;
      diagram.draw(scores ? [scores] : [], [widthOf(svg), TALL], ({ ece }) => `ECE ${ece.toFixed(3)}`);
      svg.setAttribute("aria-label", `Reliability diagram of ${RUNS[i].toLowerCase()}: ${note.textContent}`);
    });
  };
  const key = make("p", { class: "mx-legend mx-key-words" }, ...barLegend());
  const grid = make("div", { class: "mx-charts" }, ...[accuracy, loss, ...diagrams].map(({ node }) => node));
  const [curvesAreStale, diagramsAreStale] = [differing(), differing()];
  const draw = (view, theme, state) => {
    if (curvesAreStale(view, theme, state.prediction, state.epochs)) drawCurves(view, state);
    if (diagramsAreStale(view, theme)) drawDiagrams(view);
  };
  return { nodes: [legend, grid, key], draw };
}

function build({ model, state, follow, release, settle, seed }) {
  const bars = sliders(model.get("_limits"), state, follow, release);
  const variants = Object.entries(model.get("_variants")).map(([name, meaning]) => [name, name, meaning]);
  const menu = menuOf(variants, (variant) => settle({ variant }));
  const news = make("p", { class: "mx-hidden", role: "status" });
  const verdict = make("p", { class: "mx-verdict" });
  const picked = make("p", { class: "mx-picked" });
  const four = charts();

  const draw = (view, theme) => {
    write(verdict, view.verdict);
    write(picked, view.picked);
    write(news, view.news);
    four.draw(view, theme, state);
  };
  const show = () => {
    for (const [name, { show: put }] of Object.entries(bars)) put(state[name]);
    menu.value = state.variant;
    bars.alpha.range.disabled = bars.k.range.disabled = state.variant === "none";
  };
  const mixing = () =>
    state.variant === "none" ? "no mixing" : `${state.variant}, α = ${ALPHA_SCALE.say(state.alpha)}, K = ${state.k}`;
  const sentence = () =>
    `For the next start: ${mixing()}, ` +
    `${count(state.images)} images, ${state.epochs} epochs, seed ${state.seed}, prediction ${share(state.prediction)}.`;
  const rows = [
    { variant: field("Variant", menu), alpha: bars.alpha.node, k: bars.k.node },
    { images: bars.images.node, epochs: bars.epochs.node, seed, prediction: bars.prediction.node },
  ];
  return { rows, below: [verdict, ...four.nodes, picked, news], show, draw, sentence };
}

export default { render: (context) => showRunPanel(context, PANEL, build) };
