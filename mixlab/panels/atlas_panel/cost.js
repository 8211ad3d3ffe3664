// Accuracy against cost of all settings with the same data, with the Pareto front; a click chooses a point.

import { EDGE, between, frame, ink, path, tickStep, widthOf } from "../shared/diagram.js";
import { differing, make } from "../shared/dom.js";
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
function markOf(i, [x, y]) {
  const size = 6;
  const kind = { class: `mx-mark mx-run-${KINDS[i]}` };
  if (i === 0) return ink("circle", { ...kind, cx: x, cy: y, r: size });
  return ink("rect", { ...kind, x: x - size, y: y - size, width: 2 * size, height: 2 * size });
}

/** The chart: `node`, its width(), and draw(pair, wide, scope); `choose(axes)` hears of a click. */
export function costChart(student, choose) {
  const { svg, node } = chart("Accuracy in % against cost");
  const [back, marks] = [ink("g"), ink("g")];
  svg.append(back, marks);
  node.append(
    make(
      "div",
      { class: "mx-picked" },
      "Dot: a setting, mean of its seeds. Line: Pareto front. A click makes it this.",
    ),
  );
  let [places, at] = [[], null];
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

  const endsOf = (setting) => {
    const { low, high } = intervalOf([...valuesOf(setting, "accuracy", false, 1).values()], student);
    return low === undefined ? [] : [low, high];
  };
  /** All that stays while the sliders move. */
  const drawBack = (all, scope, wide) => {
    const bottom = TALL - EDGE.bottom;
    const xs = logTicks(all.map(({ cost }) => cost));
    const ys = evenTicks(all.flatMap((setting) => [setting.accuracy, ...endsOf(setting)]).map(percent));
    const onLog = between(Math.log(xs[0]), Math.log(xs.at(-1)), EDGE.left, wide - EDGE.right);
    const atX = (cost) => onLog(Math.log(cost));
    const atY = between(ys[0], ys.at(-1), bottom, EDGE.top);
    at = (cost, accuracy) => [atX(cost), atY(percent(accuracy))];
    places = all.map((setting) => {
      const [x, y] = at(setting.cost, setting.accuracy);
      return { setting, x, y };
    });
    const front = frontOf(scope);
    const stairs = front.flatMap(({ cost, accuracy }, i) => [
      ...(i ? [[cost, percent(front[i - 1].accuracy)]] : []),
      [cost, percent(accuracy)],
    ]);
    svg.setAttribute("viewBox", `0 0 ${wide} ${TALL}`);
    back.replaceChildren(
      ...frame(xs, ys, atX, atY, { wide, bottom, name: "images through the network, log", say: count }),
      ink("path", { class: "mx-front", d: path(stairs, atX, atY) }),
      ...places.map(({ setting, x, y }) =>
        ink("circle", { class: front.includes(setting) ? "mx-dot-front" : "mx-dot-any", cx: x, cy: y, r: 3.5 }),
      ),
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
  const backIsStale = differing();
  const draw = (pair, wide, scope) => {
    const beyond = scope.includes(pair[1]) ? [] : [pair[1]];
    if (backIsStale(scope[0], wide, beyond[0])) drawBack([...scope, ...beyond], scope, wide);
    const sides = pair.map((side, i) => {
      const ends = endsOf(side).map((end) => at(side.cost, end));
      const d = ends.map(([x, y], end) => `${end ? "L" : "M"}${x} ${y}`).join("");
      const mark = markOf(i, at(side.cost, side.accuracy));
      return ink("g", {}, ink("path", { class: `mx-reaches mx-run-${KINDS[i]}`, d }), mark);
    });
    marks.replaceChildren(...sides.reverse()); // this above that
  };
  return { node: make("div", { class: "mx-cost" }, node), width: () => widthOf(svg), draw };
}
