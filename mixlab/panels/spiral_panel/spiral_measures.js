// The points of the spirals, what is measured of a net on them, and the words for it, in the browser. Python is the oracle.

import { BOTTLENECK, answers, probabilities } from "./spiral_net.js";

const [SIDE, REACH] = [80, 1.2]; // cells a side of the decision field, which goes from -REACH to REACH

const bell = (random) => Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());

/** Points [2·count] on the arms of a spiral, and their labels, by the law of mixlab.data.spirals. */
export function spirals(count, { classes, noise, turns }, random) {
  const labels = Uint8Array.from({ length: count }, (_, i) => i % classes);
  const points = new Float64Array(2 * count);
  labels.forEach((label, i) => {
    const radius = Math.sqrt(random());
    const angle = 2 * Math.PI * (turns * radius + label / classes);
    points[2 * i] = radius * Math.cos(angle) + noise * bell(random);
    points[2 * i + 1] = radius * Math.sin(angle) + noise * bell(random);
  });
  return { points, labels };
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Singular values of each class's states [2·n], the largest first, as mixlab.training.class_singular_values has them. */
export function singularValues(states, labels, classes) {
  const covariance = (wanted) => {
    const [x, y] = [0, 1].map((place) => states.filter((_, i) => i % 2 === place && wanted(labels[i >> 1])));
    const [xm, ym] = [mean(x), mean(y)];
    const of = (one, other) => mean(one.map((value, i) => value * other[i]));
    const [u, v] = [x.map((value) => value - xm), y.map((value) => value - ym)];
    return [of(u, u), of(u, v), of(v, v)];
  };
  const [xx, , yy] = covariance(() => true);
  return Array.from({ length: classes }, (_, label) => {
    const [a, b, d] = covariance((one) => one === label);
    const [middle, reach] = [(a + d) / 2, Math.hypot((a - d) / 2, b)];
    return [middle + reach, middle - reach].map((value) => Math.sqrt(Math.max(value, 0) / (xx + yy)));
  });
}

/** Each class's probability in every cell of the plane, a row of cells at a time: yields, then returns bytes. */
export function* fieldOf(net, classes) {
  const field = new Uint8Array(classes * SIDE * SIDE);
  const middle = (cell) => (REACH * (2 * cell + 1 - SIDE)) / SIDE;
  for (let row = 0; row < SIDE; row += 1) {
    const cells = Float64Array.from({ length: 2 * SIDE }, (_, i) => middle(i % 2 ? row : i >> 1));
    const p = probabilities(answers(net, cells), classes);
    p.forEach((value, i) => {
      field[(i % classes) * SIDE * SIDE + row * SIDE + Math.floor(i / classes)] = Math.round(255 * value);
    });
    yield;
  }
  return field;
}

/** What is right and how sure the net is on the test points, and the values of each class in the bottleneck. */
export function* measured(net, train, test, classes) {
  const hidden = answers(net, train.points, BOTTLENECK);
  const p = probabilities(answers(net, test.points), classes);
  yield;
  const rows = Array.from(test.labels, (_, i) => p.subarray(i * classes, (i + 1) * classes));
  const sure = rows.map((row) => Math.max(...row));
  const accuracy = mean(rows.map((row, i) => Number(row.indexOf(sure[i]) === test.labels[i])));
  const values = singularValues(hidden, train.labels, classes);
  return { hidden, accuracy, confidence: mean(sure), values, field: yield* fieldOf(net, classes) };
}

/** The mixing of a run in words, as Python has them. */
export function mixingOf({ layer, alpha, k, classes }, layers) {
  const many = classes === 2 ? "" : `${classes} classes, `;
  if (layer === "none") return `${many}no mixing`;
  const [, drawn] = layers.random.split(": ");
  const where = layer === "random" ? `at ${drawn.replace(/, (\w+)$/, " or $1")}, drawn anew` : layers[layer];
  return `${many}mixed ${where}, α = ${Number(alpha.toPrecision(3))}, K = ${k}`;
}

/** What a run reached in words, as Python has them. */
export function reachedOf({ accuracy, confidence, values }) {
  const spread = values.map(([first, second], i) => `${"ABC"[i]} ${first.toFixed(2)} and ${second.toFixed(2)}`);
  const words = `test accuracy ${accuracy.toFixed(3)}, mean confidence ${confidence.toFixed(3)}`;
  return `${words}; singular values of class ${spread.join("; ")}.`;
}

/** What stands for the measures of a net before there are any. */
export const unmeasured = ({ points }, classes) => ({ hidden: points, field: new Uint8Array(classes * SIDE * SIDE) });

/** How many bytes `packed` gives. */
export const sizeOf = ({ classes, count }) => 17 * count + classes * SIDE * SIDE;

/** Points and hidden states as float32, labels and field as bytes: what the panel unpacks. */
export function packed({ points, labels }, { hidden, field }) {
  const floats = [points, hidden].map((part) => new Uint8Array(Float32Array.from(part).buffer));
  const bytes = new Uint8Array(17 * labels.length + field.length);
  [...floats, labels, field].reduce((at, part) => (bytes.set(part, at), at + part.length), 0);
  return bytes;
}
