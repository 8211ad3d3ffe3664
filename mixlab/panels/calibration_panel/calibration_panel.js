// The calibration panel: temperature, bins and estimator on sliders; diagrams before and after, and the numbers, in the browser.

import { ALPHA_SCALE, PLAIN_SCALE, connect, field, make, menuOf, slider, write } from "../shared/dom.js";
import { thetaBar } from "../shared/law.js";
import { barLegend, lineLegend, reliabilityDiagram } from "../shared/reliability_diagram.js";
import { numbersAt, readRuns } from "./numbers.js";

const CONTROLS = ["run", "other", "overlaid", "n_bins", "bins", "estimator", "scaling", "temperature", "alpha"];
const T_SCALE = {
  min: -2,
  max: 2,
  step: 0.01,
  toValue: (position) => Number((2 ** position).toPrecision(3)),
  toPosition: Math.log2,
  say: (temperature) => temperature.toFixed(2),
};
const HEIGHTS = { wide: 330, small: 242 }; // pixels: two diagrams, or four
const KINDS = [
  ["width", "equal width"],
  ["mass", "equal mass"],
];

/** The temperature in force for a run. */
export function temperatureOf({ scaling, temperature, alpha }, { fitted }) {
  if (scaling === "fit") return fitted ?? 1;
  return scaling === "alpha" ? thetaBar(alpha) : temperature;
}

const digits = (value) => (Number.isFinite(value) ? value.toFixed(3) : "∞");
const degrees = (temperature) => `T = ${temperature.toFixed(2)}`;

/** One run in a sentence, before and after. */
export function sentenceOf(name, before, after, words) {
  const says = ({ confidence, lean: leans }) => `says ${confidence.toFixed(2)} (${leans})`;
  return (
    `${name}: right in ${before.accuracy.toFixed(2)}, ${says(before)}; at ${degrees(after.temperature)} it ${says(after)}. ` +
    `${words}: ${digits(before.estimate)} → ${digits(after.estimate)}.`
  );
}

/** Where the fitted temperatures stand, below the slider. */
function fitMarks(named) {
  const node = make("div", { class: "mx-fits" });
  const show = (shown) => {
    node.replaceChildren(
      ...shown.map(({ fitted, name }) => {
        const whose = named ? `, ${name}` : "";
        if (fitted === null) return make("div", { class: "mx-fit" }, `no T has the least NLL${whose}`);
        const place = Math.min(Math.max((Math.log2(fitted) - T_SCALE.min) / (T_SCALE.max - T_SCALE.min), 0), 1);
        const tip = make("i", { class: "mx-tip", "aria-hidden": "true" });
        const side = place > 0.5 ? "mx-leftward" : "mx-rightward";
        const mark = make(
          "span",
          { class: side, style: `left: ${100 * place}%` },
          tip,
          `fit ${fitted.toFixed(2)}${whose}`,
        );
        return make("div", { class: "mx-fit" }, mark);
      }),
    );
  };
  return { node, show };
}

const ROWS = { accuracy: "Accuracy", confidence: "Mean confidence", nll: "NLL, nats", brier: "Brier score" };

/** The numbers as a table: `build` for other runs, `show` under a drag. */
function numbersTable(estimators) {
  const node = make("table");
  let cells = [];
  const build = (shown) => {
    const heads = shown.flatMap(({ name }) => [`${name}: before`, make("span")]);
    const rows = [...Object.keys(ROWS), "estimate"].map((key) => ({ key, cells: heads.map(() => make("span")) }));
    const reaches = heads.map(() => make("span", { class: "mx-reach" }));
    const title = make("th", { scope: "row" });
    node.replaceChildren(
      make("thead", {}, make("tr", {}, make("td"), ...heads.map((words) => make("th", { scope: "col" }, words)))),
      make(
        "tbody",
        {},
        ...rows.map(({ key, cells: spans }) => {
          const chosen = key === "estimate";
          const head = chosen ? title : make("th", { scope: "row" }, ROWS[key]);
          return make(
            "tr",
            chosen ? { class: "mx-chosen" } : {},
            head,
            ...spans.map((span, i) => make("td", {}, span, ...(chosen ? [reaches[i]] : []))),
          );
        }),
      ),
    );
    cells = { rows, reaches, title, heads: heads.filter((head) => head.nodeType) };
  };
  const show = (pairs, { estimator }, intervals) => {
    write(cells.title, estimators[estimator]);
    pairs.forEach(({ run, after }, i) => write(cells.heads[i], `${run.name}: ${degrees(after.temperature)}`));
    const columns = pairs.flatMap(({ before, after }) => [before, after]);
    for (const { key, cells: spans } of cells.rows)
      columns.forEach((scores, i) => write(spans[i], digits(scores[key])));
    cells.reaches.forEach((reach, i) => write(reach, intervals?.[i] ? intervals[i].map(digits).join(" to ") : ""));
  };
  return { node, build, show };
}

/** The diagrams: before and after; a column for each of two runs side by side, or both runs in one diagram. */
function diagramGrid(estimators) {
  const node = make("div", { class: "mx-diagrams" });
  const four = Array.from({ length: 4 }, () => {
    const title = make("div", { class: "mx-chart-name" });
    const diagram = reliabilityDiagram();
    return { title, diagram, last: "", node: make("div", {}, title, diagram.node) };
  });
  const draw = (pairs, state) => {
    const both = state.overlaid && pairs.length > 1;
    const panes = both
      ? ["before", "after"].map((when) => ({
          when,
          shown: pairs.map((pair) => pair[when]),
          names: pairs.map(({ run }) => run.name),
        }))
      : ["before", "after"].flatMap((when) =>
          pairs.map((pair) => ({ when, shown: [pair[when]], names: [pair.run.name] })),
        );
    if (node.children.length !== panes.length)
      node.replaceChildren(...four.slice(0, panes.length).map((pane) => pane.node));
    // Read once, before anything is written: each reading after that would lay out the page anew.
    const size = [Math.max(node.firstChild.clientWidth, 200), panes.length > 2 ? HEIGHTS.small : HEIGHTS.wide];
    panes.forEach(({ when, shown, names }, i) => {
      const pane = four[i];
      const { n_bins: n, bins, estimator } = state;
      const key = JSON.stringify([names, shown.map((scores) => scores.temperature), size, n, bins, estimator]);
      if (pane.last === key) return;
      pane.last = key;
      const temperatures = [...new Set(shown.map((scores) => degrees(scores.temperature)))].join(" and ");
      const title = `${names.join(" and ")}, ${when}: ${temperatures}`;
      write(pane.title, title);
      const say = ({ estimate }, which) =>
        `${both ? `${names[which]}: ` : ""}${estimators[estimator]} ${digits(estimate)}`;
      pane.diagram.draw(shown, size, say);
      pane.diagram.node.setAttribute(
        "aria-label",
        `Reliability diagram of ${title}. ` +
          shown
            .map(
              (scores, which) =>
                `${say(scores, which)}; says ${scores.confidence.toFixed(2)}, right in ${scores.accuracy.toFixed(2)}, ${scores.lean}.`,
            )
            .join(" "),
      );
    });
  };
  return { node, draw };
}

function showPanel({ model, el }) {
  const state = Object.fromEntries(CONTROLS.map((name) => [name, model.get(name)]));
  const estimators = model.get("_estimators");
  const buffer = ({ buffer: whole, byteOffset: start, byteLength: length }) => whole.slice(start, start + length);
  const runs = readRuns(model.get("_runs"), buffer(model.get("_logits")), buffer(model.get("_labels")));
  const shownRuns = () =>
    [...new Set([state.run, state.other])].filter(Boolean).map((name) => runs.find((run) => run.name === name));

  const root = make("div", {
    class: "mixlab-panel mx-training mx-calibration",
    role: "group",
    "aria-label": "Calibration",
  });
  const grid = diagramGrid(estimators);
  const table = numbersTable(estimators);
  const legend = make("p", { class: "mx-legend" });
  const bars = barLegend();
  const lines = [make("div"), make("div")];
  const verdict = make("div", { class: "mx-verdict" }, ...lines);
  const pairsOf = () =>
    shownRuns().map((run) => ({
      run,
      before: numbersAt(run, 1, state),
      after: numbersAt(run, temperatureOf(state, run), state),
    }));
  const sentences = (pairs) =>
    pairs.map(({ run, before, after }) => sentenceOf(run.name, before, after, estimators[state.estimator]));
  const look = () => {
    const pairs = pairsOf();
    const { wanted, intervals } = model.get("_answer");
    const fresh = Object.entries(wanted).every(([name, value]) => state[name] === value);
    grid.draw(pairs, state);
    const said = sentences(pairs);
    lines.forEach((line, i) => write(line, said[i] ?? ""));
    table.show(pairs, state, fresh ? intervals : null);
    const [{ after }] = pairs;
    temperature.show(after.temperature);
    alpha.show(state.alpha);
  };
  const settle = (change) => {
    Object.assign(state, change);
    commit();
  };
  const follow = (name, scaling) => (value) => {
    Object.assign(state, { [name]: value }, scaling ? { scaling } : {});
    ask();
    press();
  };
  const release = () => commit();
  const names = runs.map(({ name }) => [name, name]);
  const menus = {
    run: menuOf(names, (run) => settle({ run })),
    other: menuOf([["", "none"], ...names], (other) => settle({ other: other || null })),
    overlaid: menuOf(
      [
        [false, "side by side"],
        [true, "overlaid"],
      ],
      (chosen) => settle({ overlaid: chosen === "true" }),
    ),
    bins: menuOf(KINDS, (bins) => settle({ bins })),
    estimator: menuOf(Object.entries(estimators), (estimator) => settle({ estimator })),
  };
  const count = slider("Number of bins", { ...PLAIN_SCALE, min: 1, max: 100 }, follow("n_bins"), release);
  const temperature = slider("Temperature T, log scale", T_SCALE, follow("temperature", "temperature"), release);
  const sayAlpha = (value) => {
    const [used, words] = [state.scaling === "alpha", thetaBar(value).toFixed(2)];
    return `α = ${ALPHA_SCALE.say(value)}: ${used ? "T = " : ""}θ̄ = ${words}${used ? "" : " (not in use)"}`;
  };
  const alpha = slider("Rescale by θ̄(α)", { ...ALPHA_SCALE, say: sayAlpha }, follow("alpha", "alpha"), release);
  const fits = fitMarks(runs.length > 1);
  temperature.node.append(fits.node);
  const fit = make("button", { type: "button" }, "Fit T");
  fit.addEventListener("click", () => settle({ scaling: "fit" }));
  const reset = make("button", { type: "button" }, "T = 1");
  reset.addEventListener("click", () => settle({ scaling: "temperature", temperature: 1 }));
  const controls = (...nodes) => make("div", { class: "mx-controls" }, ...nodes);
  const choice = controls(
    field("Run", menus.run),
    field("Compare with", menus.other),
    field("Two runs", menus.overlaid),
  );
  if (runs.length > 1) root.append(choice);
  root.append(
    controls(count.node, field("Bins of", menus.bins), field("Estimator", menus.estimator)),
    controls(temperature.node, fit, reset, alpha.node),
    grid.node,
    legend,
    table.node,
    verdict,
  );
  if (model.get("_alone")) root.append(make("p", {}, "Intervals of other settings are calculated in the notebook."));
  el.append(root);
  const press = () => {
    fit.setAttribute("aria-pressed", state.scaling === "fit");
  };
  const show = () => {
    for (const [name, menu] of Object.entries(menus)) menu.value = state[name] ?? "";
    menus.overlaid.disabled = shownRuns().length < 2;
    count.show(state.n_bins);
    const shown = shownRuns();
    fits.show(shown);
    fit.disabled = shown.every(({ fitted }) => fitted === null);
    table.build(shown);
    legend.replaceChildren(...(state.overlaid && shown.length > 1 ? lineLegend(shown.map(({ name }) => name)) : bars));
    press();
  };
  const { ask, commit, takeDown } = connect(model, root, state, {
    show,
    draw: look,
    sentence: () => sentences(pairsOf()).join(" "),
  });
  model.on("change:_answer", ask);
  return () => {
    model.off("change:_answer", ask);
    takeDown();
  };
}

export default { render: showPanel };
