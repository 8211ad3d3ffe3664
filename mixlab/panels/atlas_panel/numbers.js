// The runs of an atlas in the browser: bins joined, metrics, paired differences, the Pareto front. numbers.py is the oracle.

export const BINS = 60;
const HELD = 4 * BINS + 1; // numbers of one calibration: wrong and right, count and confidence of each bin, then the NLL

/** The settings, each with its runs by seed, from rows and the bytes of all runs, as packed() in numbers.py lays them out. */
export function readSettings(rows, bytes) {
  const all = new Float32Array(bytes);
  let at = 0;
  const take = (size) => all.subarray(at, (at += size));
  return rows.map(({ seeds, records, cost, ...axes }) => {
    const runs = new Map();
    seeds.forEach((seed, i) => {
      const flat = take(5 * records[i]);
      const curve = Array.from({ length: records[i] }, (_, row) => flat.subarray(5 * row, 5 * row + 5));
      runs.set(seed, { curve, raw: take(HELD), tempered: take(HELD) });
    });
    const setting = { axes, cost, runs, known: new Map() };
    setting.accuracy = mean([...valuesOf(setting, "accuracy", false, BINS).values()]);
    return setting;
  });
}

export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Count, right answers and summed confidence of n bins, over one calibration or several. */
function joined(held, n) {
  const bins = Array.from({ length: n }, () => ({ count: 0, right: 0, confidence: 0 }));
  for (const cells of held)
    for (let fine = 0; fine < BINS; fine += 1) {
      const bin = bins[Math.floor((fine * n) / BINS)];
      const [wrong, ofWrong, right, ofRight] = cells.subarray(4 * fine, 4 * fine + 4);
      bin.count += wrong + right;
      bin.right += right;
      bin.confidence += ofWrong + ofRight;
    }
  return bins;
}

/** The row of accuracy in points, as in ROWS of numbers.py. */
export const ACCURACY = ["accuracy", false, 100];

const METRICS = {
  accuracy: (bins) => bins.reduce((sum, { right }) => sum + right, 0),
  ece: (bins) => bins.reduce((sum, { right, confidence }) => sum + Math.abs(confidence - right), 0),
  nll: (_, held) => held[HELD - 1],
};

/** A metric of each seed of a setting; what was computed is kept. */
export function valuesOf({ runs, known }, metric, tempered, n) {
  const key = `${metric} ${tempered} ${n}`;
  if (!known.has(key)) {
    const values = [...runs].map(([seed, run]) => {
      const held = tempered ? run.tempered : run.raw;
      const bins = joined([held], n);
      const total = bins.reduce((sum, { count }) => sum + count, 0);
      return [seed, METRICS[metric](bins, held) / total];
    });
    known.set(key, new Map(values));
  }
  return known.get(key);
}

/** Mean with Student's interval, as { value, low, high, n }; without ends for one value, null for none. */
export function intervalOf(values, student) {
  const n = values.length;
  if (n === 0) return null;
  const value = mean(values);
  if (n === 1) return { value, n };
  const spread = Math.sqrt(values.reduce((sum, one) => sum + (one - value) ** 2, 0) / (n - 1));
  const reach = (student[n - 2] * spread) / Math.sqrt(n);
  return { value, low: value - reach, high: value + reach, n };
}

/** A metric of one setting less that of another, over the seeds that both have, times `factor`. */
export function difference(one, other, [metric, tempered, factor], n, student) {
  const [first, second] = [one, other].map((side) => valuesOf(side, metric, tempered, n));
  const seeds = [...first.keys()].filter((seed) => second.has(seed));
  return intervalOf(
    seeds.map((seed) => factor * (first.get(seed) - second.get(seed))),
    student,
  );
}

/** What a reliability diagram shows of a setting: the predictions of all its seeds together. */
export function scoresOf({ runs }, tempered, n) {
  const held = [...runs.values()].map((run) => (tempered ? run.tempered : run.raw));
  const bins = joined(held, n).map(({ count, right, confidence }, i) => {
    return { low: i / n, high: (i + 1) / n, count, confidence: confidence / count, accuracy: right / count };
  });
  return { bins: bins.filter(({ count }) => count > 0), counts: joined(held, BINS / 2).map(({ count }) => count) };
}

/** The settings that no other beats in cost and accuracy, cheapest first. */
export function frontOf(settings) {
  const beats = (a, b) =>
    a.cost <= b.cost && a.accuracy >= b.accuracy && (a.cost !== b.cost || a.accuracy !== b.accuracy);
  return settings
    .filter((one) => !settings.some((other) => beats(other, one)))
    .sort((one, other) => one.cost - other.cost);
}
