// Accuracy against cost of all settings with the same data, with the Pareto front; a click chooses a point.

import { EDGE, between, frame, ink, path, text, tickStep, widthOf } from "../shared/diagram.js";
import { make } from "../shared/dom.js";
import { wordsOf } from "./choosing.js";
import { frontOf, intervalOf, valuesOf } from "./numbers.js";
import { KINDS, TALL, chart, count } from "./pictures.js";

const REACH = 24; // pixels around a point in which a click chooses it

const percent = (share) => 100 * share;

/** Ticks of 1, 2 and 5 times powers of ten, from below all costs to above them. */
function logTicks(costs) {
  const all = Array.from({ length: 36 }, (_, i) => [1, 2, 5][i % 3] * 10 ** Math.floor(i / 3));
  const [low, high] = [Math.min(...costs), Math.max(...costs)];
  return all.slice(
    Math.max(
      all.findLastIndex((tick) => tick < low),
      0,
    ),
    all.findIndex((tick) => tick > high) + 1,
  );
}

/** Even ticks from below all heights to above them. */
function evenTicks(heights) {
  const [low, high] = [Math.min(...heights), Math.max(...heights)];
  const step = tickStep(Math.max(high - low, 2), 4);
  const first = Math.floor(low / step - 0.2);
  const length = Math.ceil(high / step + 0.2) - first + 1;
  return Array.from({ length }, (_, i) => Number(((first + i) * step).toPrecision(6)));
}

/** The mark of a side: a dot for this, a square for that. */
function markOf(i, { x, y }) {
  const size = 6;
  const kind = { class: `mx-mark mx-run-${KINDS[i]}` };
  if (i === 0) return ink("circle", { ...kind, cx: x, cy: y, r: size });
  return ink("rect", { ...kind, x: x - size, y: y - size, width: 2 * size, height: 2 * size });
}

/** The chart: `node`, and draw(pair, scope); `choose(axes)` hears of a click. */
export function costChart(student, choose) {
  const { svg, node } = chart("Accuracy in % against cost");
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

  const draw = (pair, scope) => {
    const [wide, bottom] = [widthOf(svg), TALL - EDGE.bottom];
    const all = [...new Set([...scope, ...pair])];
    const xs = logTicks(all.map(({ cost }) => cost));
    const ys = evenTicks(all.map(({ accuracy }) => percent(accuracy)));
    const onLog = between(Math.log(xs[0]), Math.log(xs.at(-1)), EDGE.left, wide - EDGE.right);
    const atX = (cost) => onLog(Math.log(cost));
    const atY = between(ys[0], ys.at(-1), bottom, EDGE.top);
    const inFrame = (value) => atY(Math.min(Math.max(percent(value), ys[0]), ys.at(-1)));
    const at = (setting) => ({ setting, x: atX(setting.cost), y: atY(percent(setting.accuracy)) });
    places = all.map(at);
    const front = frontOf(scope);
    const stairs = front.flatMap(({ cost, accuracy }, i) => [
      ...(i ? [[cost, percent(front[i - 1].accuracy)]] : []),
      [cost, percent(accuracy)],
    ]);
    const sides = pair.map((side, i) => {
      const { low, high } = intervalOf([...valuesOf(side, "accuracy", false, 1).values()], student);
      const d = low === undefined ? "" : `M${atX(side.cost)} ${inFrame(low)}V${inFrame(high)}`;
      return ink("g", {}, ink("path", { class: `mx-reaches mx-run-${KINDS[i]}`, d }), markOf(i, at(side)));
    });
    svg.setAttribute("viewBox", `0 0 ${wide} ${TALL}`);
    svg.replaceChildren(
      ...frame(xs, ys, atX, atY, { wide, bottom, name: "images through the network, log", say: count }),
      ink("path", { class: "mx-front", d: path(stairs, atX, atY) }),
      ...places.map(({ setting, x, y }) =>
        ink("circle", { class: front.includes(setting) ? "mx-dot-front" : "mx-dot-any", cx: x, cy: y, r: 3.5 }),
      ),
      ...sides.reverse(), // this above that
      text(EDGE.left + 8, EDGE.top + 6, "dot: a setting; line: Pareto front; click: this", "mx-tick", "start"),
    );
    const kept = front.map(
      ({ axes, cost, accuracy }) => `${wordsOf(axes)}: ${percent(accuracy).toFixed(1)} at ${count(cost)}`,
    );
    svg.setAttribute(
      "aria-label",
      `Accuracy in percent, mean of the seeds, against images through the network, of ${all.length} settings. ` +
        `On the Pareto front: ${kept.join("; ")}. The sliders reach every point.`,
    );
  };
  return { node: make("div", { class: "mx-cost" }, node), draw };
}
