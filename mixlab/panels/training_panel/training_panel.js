// The training panel: controls that stay alive while Python trains, and what Python says of the run, some times a second.

import { curves, ink, reliability } from "../shared/diagram.js";
import { ALPHA_SCALE, K_SCALE, PLAIN_SCALE, connect, field, make, menuOf, slider, write } from "../shared/dom.js";
import { buttons, seedBox } from "../shared/running.js";

const CONTROLS = ["variant", "alpha", "k", "images", "epochs", "seed", "prediction"];

/** The number of images for a place on the log slider: two digits, and both ends exact. */
export function imagesAt(position, [low, high]) {
  const count = Number((10 ** position).toPrecision(2));
  return Math.min(Math.max(position >= Math.log10(high) - 0.005 ? high : count, low), high);
}

const count = (value) => value.toLocaleString("en");
const share = (value) => (value === null ? "none yet" : value.toFixed(2));

/** A slider of the panel; its release is the panel's. */
function sliders(limits, follow, release) {
  const [few, many] = limits.images;
  const images = {
    min: Math.log10(few),
    max: Math.log10(many),
    step: "any",
    say: count,
    toPosition: Math.log10,
    toValue: (position) => imagesAt(position, limits.images),
  };
  const [low, high] = limits.epochs;
  return {
    alpha: slider("α, log scale", ALPHA_SCALE, follow("alpha"), release),
    k: slider("K, mixes a pair", K_SCALE, follow("k"), release),
    images: slider("Images", { ...images, step: 0.01 }, follow("images"), release),
    epochs: slider("Epochs", { ...PLAIN_SCALE, min: low, max: high }, follow("epochs"), release),
    prediction: slider(
      "Predicted accuracy",
      { ...PLAIN_SCALE, max: 1, step: 0.01, say: share, toPosition: (value) => value ?? 0.5 },
      follow("prediction"),
      release,
    ),
  };
}

function figure(words, ...below) {
  const svg = ink("svg", { role: "img", class: "mx-figure" });
  const value = make("span", { class: "mx-reached" });
  const heading = make("div", { class: "mx-chart-name" }, words, value);
  return { svg, value, node: make("div", { class: "mx-chart" }, heading, svg, ...below) };
}

const RUNS = ["This run", "The run before"];

function charts() {
  const accuracy = figure("Test accuracy");
  const loss = figure("Training loss in nats");
  const diagrams = RUNS.map((name) => {
    const note = make("div", { class: "mx-note" });
    return { note, ...figure(`Reliability: ${name.toLowerCase()}`, note) };
  });
  const legend = make("p", { class: "mx-legend" });
  const swatches = ["mx-current", "mx-ghost"].map((kind) => {
    const sample = ink("svg", { class: "mx-sample", viewBox: "0 0 34 8", "aria-hidden": "true" });
    sample.append(ink("line", { class: kind, x1: 1, x2: 33, y1: 4, y2: 4 }));
    return sample;
  });

  const draw = ({ runs }, state) => {
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
    diagrams.forEach(({ svg, note }, i) => {
      const diagram = runs[i]?.diagram;
      note.textContent = diagram ? `${runs[i].name}: ${diagram.words}` : `${RUNS[i]} will stand here.`;
      reliability(svg, diagram ?? { bins: [], width: 1 });
      svg.setAttribute("aria-label", `Reliability diagram of ${RUNS[i].toLowerCase()}: ${note.textContent}`);
    });
  };
  const key = make(
    "p",
    { class: "mx-key-words" },
    "Bars: the share of right answers among predictions of like confidence; hatched: its distance from the confidence, " +
      "orange if over-confident, green if under-confident; pale: fewer than ten answers. " +
      "A calibrated net's bars end on the dashed diagonal.",
  );
  const grid = make("div", { class: "mx-charts" }, ...[accuracy, loss, ...diagrams].map(({ node }) => node));
  return { nodes: [legend, grid, key], draw };
}

function showPanel({ model, el }) {
  const state = Object.fromEntries(CONTROLS.map((name) => [name, model.get(name)]));
  const root = make("div", { class: "mixlab-panel mx-training", role: "group", "aria-label": "Train it live" });
  const follow = (name) => (value) => {
    state[name] = value;
    ask();
  };
  const release = () => commit();
  const settle = (change) => {
    Object.assign(state, change);
    commit();
  };
  const bars = sliders(model.get("_limits"), follow, release);
  const variants = Object.entries(model.get("_variants")).map(([name, meaning]) => [name, name, meaning]);
  const menu = menuOf(variants, (variant) => settle({ variant }));
  const seed = seedBox(settle);
  // The state goes along: a change that is still on its way must not be overtaken by the command.
  const row = buttons((command) => model.send({ command, state: command === "reset" ? {} : { ...state } }), {
    stepwise: true,
  });
  const progress = make("progress", { max: 1, value: 0, "aria-label": "Progress of the training" });
  const status = make("p", { class: "mx-status" });
  const news = make("p", { class: "mx-hidden", role: "status" });
  const alert = make("p", { class: "mx-alert", role: "alert" });
  const verdict = make("p", { class: "mx-verdict" });
  const picked = make("p", { class: "mx-picked" });
  const four = charts();
  const controls = (...nodes) => make("div", { class: "mx-controls" }, ...nodes);
  root.append(
    controls(field("Variant", menu), bars.alpha.node, bars.k.node),
    controls(bars.images.node, bars.epochs.node, field("Seed", seed), bars.prediction.node),
    make("div", { class: "mx-run" }, row.node, progress),
    status,
    alert,
    verdict,
    ...four.nodes,
    picked,
    news,
  );
  el.append(root);

  const look = () => {
    const view = model.get("_view");
    row.show(view.phase);
    progress.value = view.progress;
    for (const [node, words] of [
      [status, view.status],
      [verdict, view.verdict],
      [picked, view.picked],
      [news, view.news],
      [alert, view.alert],
    ])
      write(node, words);
    four.draw(view, state);
  };
  const show = () => {
    for (const [name, { show: put }] of Object.entries(bars)) put(state[name]);
    menu.value = state.variant;
    seed.value = state.seed;
    bars.alpha.range.disabled = bars.k.range.disabled = state.variant === "none";
  };
  const mixing = () =>
    state.variant === "none" ? "no mixing" : `${state.variant}, α = ${ALPHA_SCALE.say(state.alpha)}, K = ${state.k}`;
  const sentence = () =>
    `For the next start: ${mixing()}, ` +
    `${count(state.images)} images, ${state.epochs} epochs, seed ${state.seed}, prediction ${share(state.prediction)}.`;
  const { ask, commit, takeDown } = connect(model, root, state, { show, draw: look, sentence });
  model.on("change:_view", ask);
  return () => {
    model.off("change:_view", ask);
    takeDown();
  };
}

export default { render: showPanel };
