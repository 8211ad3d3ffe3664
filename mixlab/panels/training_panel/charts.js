// The charts of the training panel: accuracy, loss and the reliability diagrams of this run and the one before.

import { curves, ink, widthOf } from "../shared/diagram.js";
import { differing, make } from "../shared/dom.js";
import { barLegend, reliabilityDiagram } from "../shared/reliability_diagram.js";

const TALL = 280; // of a reliability diagram, in pixels

/** A predicted accuracy in words. */
export const share = (value) => (value === null ? "none yet" : value.toFixed(2));

function figure(words, svg = ink("svg", { role: "img", class: "mx-figure" }), ...below) {
  const value = make("span", { class: "mx-reached" });
  const heading = make("div", { class: "mx-chart-name" }, words, value);
  return { svg, value, node: make("div", { class: "mx-chart" }, heading, svg, ...below) };
}

const RUNS = ["This run", "The run before"];

/** The charts of a training, this run's and those of the run before: `draw(view, theme, state)` draws what has changed. */
export function charts() {
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
