// What the atlas panel says in words: the differences, and what is best for as little; numbers.py is the oracle.

import { wordsOf } from "./choosing.js";
import { ACCURACY, difference, intervalOf, valuesOf } from "./numbers.js";

const signed = (value, digits) => `${value < 0 || Object.is(value, -0) ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

/** A difference with its sign, interval and unit. */
export function inWords(part, [, , , digits, unit]) {
  if (part === null) return "no seed in common";
  const say = (value) => signed(value, digits);
  if (part.n === 1) return `${say(part.value)} ${unit}, one pair: no interval`;
  return `${say(part.value)} [${say(part.low)}, ${say(part.high)}] ${unit}`;
}

const whole = ({ images, data }) => `${images} images of ${data}`;

/** What the panel shows, in a sentence. */
export function describe(one, other, rows, n, student) {
  const parts = Object.entries(rows).map(
    ([name, row]) => `${name} ${inWords(difference(one, other, row, n, student), row)}`,
  );
  const seeds = [...one.runs.keys()].filter((seed) => other.runs.has(seed)).length;
  const [mine, theirs] = [one, other].map(({ axes }) => whole(axes));
  const elsewhere = mine === theirs ? "" : ` on ${theirs}`;
  return (
    `${wordsOf(one.axes)} minus ${wordsOf(other.axes)}${elsewhere}, ${mine}, ECE in ${n} bins: ` +
    `${parts.join("; ")}. ${seeds > 1 ? "95% intervals, " : ""}n = ${seeds}.`
  );
}

/** Which of these settings is the most accurate for at most this cost, and whether that is decided, in words. */
export function bestFor(settings, most, student) {
  const within = settings.filter(({ cost }) => cost <= most);
  const best = within.reduce((one, other) => (other.accuracy > one.accuracy ? other : one));
  const { value, low, high, n } = intervalOf([...valuesOf(best, "accuracy", false, 1).values()], student);
  const rest = within.filter((one) => one !== best);
  const behind = rest.filter((one) => difference(best, one, ACCURACY, 1, student)?.low > 0).length;
  const reach = n > 1 ? ` [${(100 * low).toFixed(1)}, ${(100 * high).toFixed(1)}]` : "";
  const start =
    `For at most ${most.toLocaleString("en")} images through the network, the most accurate of ${within.length} ` +
    `settings is ${wordsOf(best.axes)}: ${(100 * value).toFixed(1)}%${reach}, n = ${n}.`;
  if (rest.length === 0) return start;
  return `${start} Its lead is decided, by an interval above 0, over ${behind} of ${rest.length} others. A best of many is partly luck.`;
}
