// The comparison of two settings as a table: both values, the interval of their difference, and which is better.

import { ink, tickStep } from "../shared/diagram.js";
import { differing, make, write } from "../shared/dom.js";
import { difference, mean, valuesOf } from "./numbers.js";
import { inWords } from "./words.js";

const [WIDE, TALL, MARGIN] = [240, 20, 8]; // of the picture of one interval
const HEADS = ["Metric", "This", "That", "This − that", "Difference", "Better"];

/** Which side is better for sure: "this", "that", or "undecided". Only accuracy is better when it is larger. */
export function verdictOf(part, [metric]) {
  if (!part || part.n < 2 || (part.low <= 0 && part.high >= 0)) return "undecided";
  return part.value > 0 === (metric === "accuracy") ? "this" : "that";
}

/** The end of the axis of a unit: the largest distance between means of these settings, rounded up. */
function reachOf(settings, rows, unit, n) {
  const spreads = rows
    .filter((row) => row[4] === unit)
    .map(([metric, tempered, factor]) => {
      const means = settings.map((one) => factor * mean([...valuesOf(one, metric, tempered, n).values()]));
      return Math.max(...means) - Math.min(...means);
    });
  const most = Math.max(...spreads, 1e-3);
  const step = tickStep(most, 4);
  return Number((Math.ceil(most / step) * step).toPrecision(3));
}

function drawInterval(svg, part, reach, verdict) {
  const at = (value) => WIDE / 2 + (WIDE / 2 - MARGIN) * Math.min(Math.max(value / reach, -1), 1);
  const middle = TALL / 2;
  const shapes = [ink("line", { class: "mx-zero", x1: at(0), x2: at(0), y1: 0, y2: TALL })];
  const beyond = (end) => Math.abs(end) > reach;
  const tip = (end) => {
    const size = 7 * Math.sign(end);
    return ink("path", { class: "mx-beyond", d: `M${at(end)} ${middle - 5}l${size} 5l${-size} 5Z` });
  };
  if (part?.n > 1) shapes.push(ink("path", { class: "mx-reaches", d: `M${at(part.low)} ${middle}H${at(part.high)}` }));
  if (part) {
    shapes.push(...[part.low ?? 0, part.value, part.high ?? 0].filter(beyond).map(tip));
    if (!beyond(part.value)) shapes.push(ink("circle", { class: "mx-mean", cx: at(part.value), cy: middle, r: 5 }));
  }
  svg.setAttribute("class", `mx-interval mx-for-${verdict}`);
  svg.replaceChildren(...shapes);
}

function lineOf(name, row) {
  const svg = ink("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, "aria-hidden": "true" });
  const [words, verdict] = [make("td"), make("td")];
  const each = [make("td", { class: "mx-each" }), make("td", { class: "mx-each" })];
  const node = make("tr", {}, make("th", { scope: "row" }, name), ...each, make("td", {}, svg), words, verdict);
  return { row, svg, each, words, verdict, node };
}

/** The table: `node`, and draw(pair, scope, n); `rows` are ROWS of numbers.py. */
export function comparisonTable(rows, student) {
  const lines = Object.entries(rows).map(([name, row]) => lineOf(name, row));
  const heads = HEADS.map((words, i) =>
    make("th", { scope: "col", ...([1, 2].includes(i) && { class: "mx-each" }) }, words),
  );
  const axis = make("td", { class: "mx-axis" });
  const empty = ["", "mx-each", "mx-each"].map((name) => make("td", { class: name }));
  const foot = make("tr", {}, ...empty, axis, make("td"), make("td"));
  const body = make("tbody", {}, ...lines.map(({ node }) => node), foot);
  const node = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
  const [axisIsStale, reaches] = [differing(), {}];
  const draw = ([one, other], scope, n) => {
    if (axisIsStale(scope[0], n, one.axes.epochs)) {
      const near = scope.filter(({ axes }) => axes.epochs === one.axes.epochs);
      for (const unit of ["points", "nats"]) reaches[unit] = reachOf(near, Object.values(rows), unit, n);
    }
    for (const { row, svg, each, words, verdict } of lines) {
      const [metric, tempered, factor, digits, unit] = row;
      [one, other].forEach((side, i) => {
        write(each[i], (factor * mean([...valuesOf(side, metric, tempered, n).values()])).toFixed(digits));
      });
      const part = difference(one, other, row, n, student);
      drawInterval(svg, part, reaches[unit], verdictOf(part, row));
      write(words, inWords(part, row));
      write(verdict, verdictOf(part, row));
      write(heads[4], `Difference, 95% each, n = ${part?.n ?? 0}`);
    }
    write(axis, `axis: ±${reaches.points} points, ±${reaches.nats} nats`);
  };
  return { node, draw };
}
