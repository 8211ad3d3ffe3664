// The comparison of two settings as a table: both values, the interval of their difference, and which is better.

import { ink, tickStep } from "../shared/diagram.js";
import { make, write } from "../shared/dom.js";
import { difference, mean, valuesOf } from "./numbers.js";

const [WIDE, TALL, MARGIN] = [240, 20, 8]; // of the picture of one interval

const signed = (value, digits) => `${value < 0 || Object.is(value, -0) ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

/** A difference with its sign, interval and unit, as row_in_words in numbers.py says it. */
export function inWords(part, [, , , digits, unit]) {
  if (part === null) return "no seed in common";
  const say = (value) => signed(value, digits);
  if (part.n === 1) return `${say(part.value)} ${unit}, one pair: no interval`;
  return `${say(part.value)} [${say(part.low)}, ${say(part.high)}] ${unit}`;
}

/** Which side is better for sure: "this", "that", or "undecided". Only accuracy is better when it is larger. */
export function verdictOf(part, [metric]) {
  if (!part || part.n < 2 || (part.low <= 0 && part.high >= 0)) return "undecided";
  return part.value > 0 === (metric === "accuracy") ? "this" : "that";
}

/** The end of the axis of a unit: the largest distance between means of these settings. */
function reachOf(settings, rows, unit, n) {
  const spreads = rows
    .filter((row) => row[4] === unit)
    .map(([metric, tempered, factor]) => {
      const means = settings.map((one) => factor * mean([...valuesOf(one, metric, tempered, n).values()]));
      return Math.max(...means) - Math.min(...means);
    });
  const most = Math.max(...spreads, 1e-3);
  const step = tickStep(most, 4);
  return Math.ceil(most / step) * step;
}

function drawInterval(svg, part, reach, verdict) {
  const at = (value) => WIDE / 2 + (WIDE / 2 - MARGIN) * Math.min(Math.max(value / reach, -1), 1);
  const middle = TALL / 2;
  const shapes = [ink("line", { class: "mx-zero", x1: at(0), x2: at(0), y1: 0, y2: TALL })];
  if (part && part.n > 1) {
    shapes.push(ink("path", { class: "mx-bar-of", d: `M${at(part.low)} ${middle}H${at(part.high)}` }));
    const beyond = [
      [part.low, -1],
      [part.high, 1],
    ].filter(([end, side]) => end * side > reach);
    for (const [, side] of beyond) {
      const x = at(side * reach);
      shapes.push(ink("path", { class: "mx-beyond", d: `M${x} ${middle - 4}l${side * 7} 4l${-side * 7} 4Z` }));
    }
  }
  if (part) shapes.push(ink("circle", { class: "mx-mean", cx: at(part.value), cy: middle, r: 5 }));
  svg.setAttribute("class", `mx-interval mx-for-${verdict}`);
  svg.replaceChildren(...shapes);
}

/** The table: `rows` as ROWS in numbers.py has them, by name; `draw(one, other, alike, n)`. */
export function comparisonTable(rows, student) {
  const lines = Object.entries(rows).map(([name, row]) => {
    const svg = ink("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, "aria-hidden": "true" });
    const [first, second, words, verdict] = Array.from({ length: 4 }, () => make("td"));
    first.className = second.className = "mx-each";
    const head = make("th", { scope: "row" }, name);
    return {
      row,
      svg,
      first,
      second,
      words,
      verdict,
      node: make("tr", {}, head, first, second, make("td", {}, svg), words, verdict),
    };
  });
  const heads = ["Metric", "This", "That", "This − that", "Difference", "Better"].map((words, i) =>
    make("th", { scope: "col", class: i === 1 || i === 2 ? "mx-each" : "" }, words),
  );
  const axis = make("td", { class: "mx-axis" });
  const foot = make(
    "tr",
    {},
    make("td"),
    make("td", { class: "mx-each" }),
    make("td", { class: "mx-each" }),
    axis,
    make("td"),
    make("td"),
  );
  const node = make(
    "table",
    {},
    make("thead", {}, make("tr", {}, ...heads)),
    make("tbody", {}, ...lines.map((line) => line.node), foot),
  );
  const reaches = { key: "" };
  const draw = (one, other, alike, n) => {
    const key = `${Object.values(alike[0].axes).slice(0, 3)} ${n}`;
    if (reaches.key !== key) {
      Object.assign(reaches, { key });
      for (const unit of ["points", "nats"]) reaches[unit] = reachOf(alike, Object.values(rows), unit, n);
    }
    let [most, seeds] = [0, 0];
    for (const { row, svg, first, second, words, verdict } of lines) {
      const [metric, tempered, factor, digits, unit] = row;
      [one, other].forEach((side, i) => {
        const value = factor * mean([...valuesOf(side, metric, tempered, n).values()]);
        write([first, second][i], value.toFixed(digits));
      });
      const part = difference(one, other, row, n, student);
      const better = verdictOf(part, row);
      drawInterval(svg, part, reaches[unit], better);
      write(words, inWords(part, row));
      write(verdict, better);
      [most, seeds] = [reaches.points, part?.n ?? 0];
    }
    write(heads[4], `Difference, 95%, n = ${seeds}`);
    write(axis, `±${Number(most.toPrecision(3))} points, ±${Number(reaches.nats.toPrecision(3))} nats`);
  };
  return { node, draw };
}
