// The pictures of the atlas panel: curves, a line a seed, and accuracy against cost with its front.

import { EDGE, between, frame, ink, path, text, tickStep, ticks, widthOf } from "../shared/diagram.js";
import { make } from "../shared/dom.js";
import { frontOf, intervalOf, valuesOf } from "./numbers.js";
import { wordsOf } from "./choosing.js";

const SIDES = ["one", "two"]; // this and that, in classes of charts.css
const REACH = 24; // pixels around a point in which a click chooses it

const points = (share) => 100 * share;
export const images = (count) =>
  count < 1e4 ? count.toLocaleString("en") : `${Number((count / 1000).toPrecision(3))}k`;

/** An SVG under its name. */
export function chart(name) {
  const svg = ink("svg", { role: "img", class: "mx-figure" });
  return { svg, node: make("div", { class: "mx-chart" }, make("div", { class: "mx-chart-name" }, name), svg) };
}

/** One of the columns of the recorded curves of both sides over epochs; `top` is the end of the axis. */
export function drawCurves({ svg }, sides, { column, top, tall, what }) {
  const [wide, bottom] = [widthOf(svg), tall - EDGE.bottom];
  const epochs = Math.max(...sides.map(({ axes }) => axes.epochs));
  const atX = between(0, epochs, EDGE.left, wide - EDGE.right);
  const atY = between(0, top, bottom, EDGE.top);
  const lines = sides.flatMap(({ runs }, i) =>
    [...runs.values()].map(({ curve }) => {
      const d = path(
        curve.map((row) => [row[0], points(row[column])]),
        atX,
        atY,
      );
      return ink("path", { class: `mx-seed mx-run-${SIDES[i]}`, d });
    }),
  );
  svg.setAttribute("viewBox", `0 0 ${wide} ${tall}`);
  svg.replaceChildren(
    ...frame(ticks(epochs, wide / 70), ticks(top, 4), atX, atY, { wide, bottom, name: "epoch" }),
    ...lines.reverse(), // this above that
  );
  const ends = sides.map(({ axes, runs }) => {
    const last = [...runs.values()].map(({ curve }) => points(curve.at(-1)[column]).toFixed(1));
    return `${wordsOf(axes)}: ${last.join(", ")}`;
  });
  svg.setAttribute("aria-label", `${what} over epochs, a line for each seed. At the end ${ends.join("; ")}.`);
}

/** Ticks of 1, 2 and 5 times powers of ten, from below all costs to above them. */
function logTicks(low, high) {
  const all = Array.from({ length: 36 }, (_, i) => [1, 2, 5][i % 3] * 10 ** Math.floor(i / 3));
  const first = all.findLastIndex((tick) => tick < low);
  return all.slice(Math.max(first, 0), all.findIndex((tick) => tick > high) + 1);
}

/** A mark: a dot for this, a square for that. */
const markOf = (i, x, y, size) =>
  i === 0
    ? ink("circle", { class: "mx-mark mx-run-one", cx: x, cy: y, r: size })
    : ink("rect", {
        class: "mx-mark mx-run-two",
        x: x - size,
        y: y - size,
        width: 2 * size,
        height: 2 * size,
      });

/** Accuracy against cost of all settings with the same data; a click chooses the nearest. */
export function costChart(student, choose) {
  const shown = chart("Accuracy in % against cost");
  const { svg } = shown;
  let places = [];
  const near = ({ offsetX, offsetY }) => {
    const far = places.map(({ x, y }) => Math.hypot(x - offsetX, y - offsetY));
    const best = far.indexOf(Math.min(...far));
    return far[best] <= REACH ? places[best].setting : null;
  };
  svg.addEventListener("click", (event) => {
    const setting = near(event);
    if (setting) choose(setting.axes);
  });
  svg.addEventListener("pointermove", (event) => svg.classList.toggle("mx-over-point", near(event) !== null));

  const draw = (all, sides, tall) => {
    const [wide, bottom] = [widthOf(svg), tall - EDGE.bottom];
    const costs = logTicks(Math.min(...all.map(({ cost }) => cost)), Math.max(...all.map(({ cost }) => cost)));
    const heights = all.map(({ accuracy }) => points(accuracy));
    const step = tickStep(Math.max(Math.max(...heights) - Math.min(...heights), 2), 4);
    const low = Math.floor(Math.min(...heights) / step - 0.2);
    const high = Math.ceil(Math.max(...heights) / step + 0.2);
    const ys = Array.from({ length: high - low + 1 }, (_, i) => Number(((low + i) * step).toPrecision(6)));
    const onLog = between(Math.log(costs[0]), Math.log(costs.at(-1)), EDGE.left, wide - EDGE.right);
    const atX = (cost) => onLog(Math.log(cost));
    const atY = between(ys[0], ys.at(-1), bottom, EDGE.top);
    const at = (setting) => ({ setting, x: atX(setting.cost), y: atY(points(setting.accuracy)) });
    const inFrame = (value) => Math.min(Math.max(value, ys[0]), ys.at(-1));
    places = all.map(at);
    const front = frontOf(all);
    const stairs = front.flatMap(({ cost, accuracy }, i) => {
      const corner = i ? [[cost, points(front[i - 1].accuracy)]] : [];
      return [...corner, [cost, points(accuracy)]];
    });
    const onFront = new Set(front);
    const wides = sides.map((side) => intervalOf([...valuesOf(side, "accuracy", false, 1).values()], student));
    svg.setAttribute("viewBox", `0 0 ${wide} ${tall}`);
    svg.replaceChildren(
      ...frame(costs, ys, atX, atY, { wide, bottom, name: "images through the network, log", say: images }),
      ink("path", { class: "mx-front", d: path(stairs, atX, atY) }),
      ...places.map(({ setting, x, y }) =>
        ink("circle", { class: onFront.has(setting) ? "mx-dot-front" : "mx-dot-any", cx: x, cy: y, r: 3.5 }),
      ),
      ...sides
        .flatMap((side, i) => {
          const { x, y } = at(side);
          const { low: from, high: to } = wides[i];
          const ends = [from, to].map((end) => end !== undefined && atY(inFrame(points(end))));
          const reach =
            from === undefined
              ? []
              : [ink("path", { class: `mx-reaches mx-run-${SIDES[i]}`, d: `M${x} ${ends[0]}V${ends[1]}` })];
          return [...reach, markOf(i, x, y, 6)];
        })
        .reverse(),
      text(EDGE.left + 8, EDGE.top + 6, "a dot: a setting; line: Pareto front; a click: this", "mx-tick", "start"),
    );
    const best = front.map(
      ({ axes, cost, accuracy }) => `${wordsOf(axes)}: ${points(accuracy).toFixed(1)} at ${images(cost)}`,
    );
    svg.setAttribute(
      "aria-label",
      `Accuracy in percent, mean of the seeds, against images through the network, of ${all.length} settings. ` +
        `On the Pareto front: ${best.join("; ")}. The sliders reach every point.`,
    );
  };
  return { ...shown, draw };
}
