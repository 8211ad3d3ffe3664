// The pictures of the atlas panel: curves, a line a seed; the reliability of both sides; accuracy against cost.

import { EDGE, between, frame, ink, path, text, ticks, widthOf } from "../shared/diagram.js";
import { differing, make, write } from "../shared/dom.js";
import { markAt, reliabilityDiagram } from "../shared/reliability_diagram.js";
import { wordsOf } from "./choosing.js";
import { mean, scoresOf, valuesOf } from "./numbers.js";

export const TALL = 318; // pixels
const HALF = 148; // of two curves above each other
const ACCURACY = [1, "Test accuracy in %"]; // column of a curve, and what it is
const ECE = [2, "Test ECE in points, raw, 15 bins"];
const TEMPERED = [3, "Test ECE in points, after T, 15 bins"];
const BARE = "Mark: recorded at the end only";

export const KINDS = ["one", "two"]; // this and that, in classes of charts.css

export const count = (images) =>
  images < 1e4 ? images.toLocaleString("en") : `${Number((images / 1000).toPrecision(3))}k`;

/** An SVG under its name. */
export function chart(name = "", svg = ink("svg", { role: "img", class: "mx-figure" })) {
  const title = make("div", { class: "mx-chart-name" }, name);
  return { svg, title, node: make("div", { class: "mx-chart" }, title, svg) };
}

/** A chart whose axes are drawn anew only when they change. */
function curveChart() {
  const layers = { back: ink("g"), front: ink("g") };
  const made = chart();
  made.svg.append(layers.back, layers.front);
  return { ...made, ...layers, axesAreStale: differing() };
}

function drawCurves({ svg, title, back, front, axesAreStale }, [column, what], pair, top, wide) {
  const bottom = HALF - EDGE.bottom;
  const epochs = Math.max(...pair.map(({ axes }) => axes.epochs));
  const atX = between(0, epochs, EDGE.left, wide - EDGE.right);
  const atY = between(0, top, bottom, EDGE.top);
  const curves = pair.map(({ runs }) =>
    [...runs.values()].map(({ curve }) =>
      curve.map((row) => [row[0], 100 * row[column]]).filter(([, value]) => !Number.isNaN(value)),
    ),
  );
  const note = curves.flat().some(({ length }) => length === 1) ? BARE : "";
  const lines = curves.flatMap((side, i) =>
    side.map((points) =>
      points.length > 1
        ? ink("path", { class: `mx-seed mx-run-${KINDS[i]}`, d: path(points, atX, atY) })
        : ink("path", {
            class: `mx-mark mx-run-${KINDS[i]}`,
            d: markAt(KINDS[i])([atX(points[0][0]) + (i ? 4 : -5), atY(points[0][1])]), // beside the other side's
          }),
    ),
  );
  write(title, what);
  if (axesAreStale(epochs, top, wide)) {
    svg.setAttribute("viewBox", `0 0 ${wide} ${HALF}`);
    back.replaceChildren(...frame(ticks(epochs, wide / 70), ticks(top, 4), atX, atY, { wide, bottom, name: "epoch" }));
  }
  front.replaceChildren(
    ...(note ? [text(wide - EDGE.right, EDGE.top / 2, note, "mx-tick", "end")] : []),
    ...lines.reverse(), // this above that
  );
  const ends = pair.map(({ axes }, i) => {
    const last = curves[i].map((points) => points.at(-1)[1].toFixed(1));
    return `${wordsOf(axes)}: ${last.join(", ")}`;
  });
  const said = `${what} over epochs, a line for each seed. At the end ${ends.join("; ")}.`;
  svg.setAttribute("aria-label", note ? `${said} ${note}.` : said);
}

/** Accuracy and ECE over epochs: `node`, its width(), and draw(pair, wide, scope, state); the scope fixes the axes. */
export function curveCharts() {
  const charts = [curveChart(), curveChart()];
  const tops = new Map(); // of the axes, by the first setting of a scope
  const topsOf = (scope) => {
    if (!tops.has(scope[0])) {
      const rows = scope.flatMap(({ runs }) => [...runs.values()].flatMap(({ curve }) => curve));
      const most = [ACCURACY, ECE].map(([column]) => 105 * Math.max(...rows.map((row) => row[column])));
      tops.set(scope[0], most);
    }
    return tops.get(scope[0]);
  };
  const draw = (pair, wide, scope, { tempered }) =>
    [ACCURACY, tempered ? TEMPERED : ECE].forEach((of, i) => drawCurves(charts[i], of, pair, topsOf(scope)[i], wide));
  return {
    node: make("div", { class: "mx-curves" }, ...charts.map(({ node }) => node)),
    width: () => widthOf(charts[0].svg),
    draw,
  };
}

/** The reliability of both sides, all seeds together: likewise. */
export function reliabilityChart() {
  const diagram = reliabilityDiagram();
  const { svg, title, node } = chart(undefined, diagram.node);
  const draw = (pair, wide, _, { tempered, n_bins: n }) => {
    const eces = pair.map((side) => 100 * mean([...valuesOf(side, "ece", tempered, n).values()]));
    const say = (_, i) => `ECE ${eces[i].toFixed(1)}`;
    const when = tempered ? "after temperature" : "raw";
    write(title, `Reliability${tempered ? " after T" : ""}; ECE in points`);
    const scores = pair.map((side) => scoresOf(side, tempered, n));
    diagram.draw(scores, [wide, TALL], say);
    const words = pair.map(({ axes }, i) => `${wordsOf(axes)}: ${say(null, i)} points, mean of the seeds`);
    svg.setAttribute("aria-label", `Reliability diagram, ${when}, in ${n} bins. ${words.join("; ")}.`);
  };
  return { node: make("div", { class: "mx-reliability" }, node), width: () => widthOf(svg), draw };
}
