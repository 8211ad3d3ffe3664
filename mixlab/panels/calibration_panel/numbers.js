// Calibration from logits, in the browser: softmax at a temperature, bins, estimators. Python is the oracle (numbers.py).

export const HISTOGRAM = 50; // bins of equal width

/** A run as the page keeps it: what each row needs at any temperature. `given` is float32 [rows, classes]. */
export function readRun({ name, rows, classes, probs, fitted }, given, labels) {
  const logits = probs ? Float64Array.from(given, Math.log) : given;
  const [tops, right] = [new Float64Array(rows), new Uint8Array(rows)];
  for (let row = 0; row < rows; row += 1) {
    let best = row * classes;
    for (let at = best + 1; at < (row + 1) * classes; at += 1) if (logits[at] > logits[best]) best = at;
    tops[row] = logits[best];
    right[row] = best - row * classes === labels[row];
  }
  return { name, rows, classes, fitted, logits, labels, tops, right, scores: new Map() };
}

/** All runs out of two buffers, one after the other. */
export function readRuns(runs, logits, labels) {
  let [start, first] = [0, 0];
  return runs.map((run) => {
    const given = new Float32Array(logits.slice(4 * start, 4 * (start += run.rows * run.classes)));
    return readRun(run, given, new Int32Array(labels.slice(4 * first, 4 * (first += run.rows))));
  });
}

/** Softmax of logits / temperature, as far as it is asked for: each row's confidence, and the means over the rows. */
export function scoresAt(run, temperature) {
  const { rows, classes, logits, labels, tops, right, scores } = run;
  if (scores.has(temperature)) return scores.get(temperature);
  const confidences = new Float32Array(rows); // rounded as a network gives them, so that ties stay ties
  let [nll, brier, hits, total] = [0, 0, 0, 0];
  for (let row = 0; row < rows; row += 1) {
    const [start, top] = [row * classes, tops[row]];
    let [sum, squares] = [0, 0];
    for (let at = start; at < start + classes; at += 1) {
      const power = Math.exp((logits[at] - top) / temperature);
      sum += power;
      squares += power * power;
    }
    const distance = (logits[start + labels[row]] - top) / temperature;
    confidences[row] = 1 / sum;
    total += confidences[row];
    hits += right[row];
    nll += Math.log(sum) - distance;
    brier += squares / (sum * sum) - (2 * Math.exp(distance)) / sum + 1;
  }
  const found = {
    confidences,
    right,
    accuracy: hits / rows,
    confidence: total / rows,
    nll: nll / rows,
    brier: brier / rows,
  };
  if (scores.size > 1) scores.delete([...scores.keys()][1]); // the first is T = 1, which stays on show
  scores.set(temperature, found);
  return found;
}

/**
 * Confidences in order, each with whether its answer is right. A float above 0 is ordered as its bits are, so these are
 * sorted by 11 of them at a time, in half the time of sort(); the lowest bit says what is right.
 */
function inOrder({ confidences, right }) {
  const { length } = right;
  const bits = new Uint32Array(confidences.buffer);
  let [keys, other] = [new Uint32Array(length), new Uint32Array(length)];
  for (let row = 0; row < length; row += 1) keys[row] = 2 * bits[row] + right[row]; // below 2^31, as no confidence is above 1
  for (const shift of [0, 11, 22]) {
    const starts = new Uint32Array(2049);
    for (let row = 0; row < length; row += 1) starts[((keys[row] >>> shift) & 2047) + 1] += 1;
    for (let i = 1; i < 2048; i += 1) starts[i] += starts[i - 1];
    for (let row = 0; row < length; row += 1) {
      const digit = (keys[row] >>> shift) & 2047;
      other[starts[digit]] = keys[row];
      starts[digit] += 1;
    }
    [keys, other] = [other, keys];
  }
  const hits = new Uint8Array(length);
  for (let row = 0; row < length; row += 1) {
    hits[row] = keys[row] & 1;
    keys[row] >>>= 1;
  }
  return { confidences: new Float32Array(keys.buffer), right: hits };
}

/** The edges of n bins; bin i holds the confidences in (edges[i], edges[i + 1]], and 0 belongs to the first. */
function edgesOf(n, ordered) {
  const { length } = ordered ?? [];
  return Float32Array.from({ length: n + 1 }, (_, i) => {
    if (!ordered || i === 0 || i === n) return i / n;
    return ordered[Math.ceil((i * length) / n) - 1];
  });
}

/** The bin of a confidence, from a guess. */
function settleBin(edges, confidence, guess) {
  let bin = guess;
  while (bin > 0 && confidence <= edges[bin]) bin -= 1;
  while (bin < edges.length - 2 && confidence > edges[bin + 1]) bin += 1;
  return bin;
}

/** Count, mean confidence and share of right answers of each bin that is not empty, with its edges; bins of equal width or mass. */
export function binsOf(scores, n, kind) {
  const mass = kind === "mass";
  if (mass) scores.ordered ??= inOrder(scores);
  const { confidences, right } = mass ? scores.ordered : scores;
  const edges = edgesOf(n, mass ? confidences : null);
  const [count, sums, hits] = [new Float64Array(n), new Float64Array(n), new Float64Array(n)];
  let bin = 0;
  for (let row = 0; row < confidences.length; row += 1) {
    const confidence = confidences[row];
    bin = settleBin(edges, confidence, mass ? bin : Math.ceil(confidence * n) - 1);
    count[bin] += 1;
    sums[bin] += confidence;
    hits[bin] += right[row];
  }
  return Array.from(count, (size, i) => ({
    low: edges[i],
    high: edges[i + 1],
    count: size,
    confidence: sums[i] / size,
    accuracy: hits[i] / size,
  })).filter((one) => one.count > 0);
}

/** How many confidences lie in each of n bins of equal width. */
export function countsOf(scores, n) {
  const counts = Array.from({ length: n }, () => 0);
  for (const { low, count } of binsOf(scores, n, "width")) counts[Math.round(low * n)] = count;
  return counts;
}

/** The error function, from the series whose terms are all positive. */
export function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x);
  let [sum, term] = [x, x];
  for (let k = 1; Math.abs(term) > 1e-17 * Math.abs(sum); k += 1) {
    term *= (2 * x * x) / (2 * k + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

const gapOf = ({ confidence, accuracy }) => confidence - accuracy;

/** The mean over predictions of a term of each bin. */
function weigh(bins, term) {
  let [sum, total] = [0, 0];
  for (const bin of bins) {
    sum += bin.count * term(bin);
    total += bin.count;
  }
  return sum / total;
}

/** The squared gap, less what chance adds to it on average; a single prediction tells nothing of its own chance. */
function squareLessNoise(bin) {
  const { count, accuracy } = bin;
  return count > 1 ? gapOf(bin) ** 2 - (accuracy * (1 - accuracy)) / (count - 1) : 0;
}

/** Twice the gap, less the mean of the gap with chance added once more (a folded normal law). */
function gapLessNoise(bin) {
  const [gap, spread] = [Math.abs(gapOf(bin)), Math.sqrt((bin.accuracy * (1 - bin.accuracy)) / bin.count)];
  if (spread === 0) return gap;
  const score = gap / spread;
  return 2 * gap - spread * Math.sqrt(2 / Math.PI) * Math.exp(-(score ** 2) / 2) - gap * erf(score / Math.SQRT2);
}

/** Each estimator of the menu from the bins that are not empty. */
export const ESTIMATORS = {
  ece: (bins) => weigh(bins, (bin) => Math.abs(gapOf(bin))),
  ece_l2: (bins) => Math.sqrt(weigh(bins, (bin) => gapOf(bin) ** 2)),
  mce: (bins) => Math.max(...bins.map((bin) => Math.abs(gapOf(bin)))),
  debiased: (bins) => Math.sqrt(Math.max(weigh(bins, squareLessNoise), 0)),
  debiased_l1: (bins) => Math.max(weigh(bins, gapLessNoise), 0),
  overconfidence: (bins) => weigh(bins, (bin) => bin.confidence * Math.max(gapOf(bin), 0)),
  underconfidence: (bins) => weigh(bins, (bin) => bin.confidence * Math.max(-gapOf(bin), 0)),
  reliability: (bins) => weigh(bins, (bin) => gapOf(bin) ** 2),
};

/** Whether confidence is off the accuracy by more than chance: two standard errors, were every confidence true. */
export function lean({ confidence, accuracy }, rows) {
  if (Math.abs(confidence - accuracy) <= 2 * Math.sqrt((confidence * (1 - confidence)) / rows))
    return "as confident as right";
  return confidence > accuracy ? "over-confident" : "under-confident";
}

/** All that the panel says of a run at a temperature; kept until another temperature, binning or estimator is asked for. */
export function numbersAt(run, temperature, { n_bins: n, bins: kind, estimator }) {
  const scores = scoresAt(run, temperature);
  const key = `${n} ${kind}`;
  scores.counts ??= countsOf(scores, HISTOGRAM);
  if (scores.key !== key) Object.assign(scores, { key, bins: binsOf(scores, n, kind) });
  return { ...scores, temperature, estimate: ESTIMATORS[estimator](scores.bins), lean: lean(scores, run.rows) };
}
