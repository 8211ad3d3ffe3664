// The runs of an atlas in the browser: bins joined, metrics, paired differences, the Pareto front. numbers.py is the oracle.

export const BINS = 60;
const STEPS = 4096; // in 1: sums come as whole numbers of these
const CELLS = 2 * BINS; // of each bin, wrong and right
const CURVE = 4; // numbers of a record: epoch, accuracy, ECE raw and tempered
const HELD = 2 * CELLS + 1; // numbers of one calibration: counts, sums of confidence, and the sum of the NLL

/** The whole numbers that packed() in numbers.py deflates, the low bytes of all before the next. */
async function unpack(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const size = planes.length / 4;
  const whole = new Int32Array(size);
  planes.forEach((byte, i) => {
    whole[i % size] |= byte << (8 * Math.floor(i / size));
  });
  return whole;
}

/** A calibration: counts and sums of confidence of its cells, and its NLL. Sums of confidence came less those at a bin's lower edge. */
function calibrationOf(whole) {
  const counts = whole.subarray(0, CELLS);
  const edge = (cell) => Math.floor((counts[cell] * Math.floor(cell / 2) * STEPS) / BINS);
  const sums = Float64Array.from(counts, (_, cell) => (edge(cell) + whole[CELLS + cell]) / STEPS);
  return { counts, sums, nll: whole[HELD - 1] / STEPS };
}

/** The settings, each with its runs by seed, from rows and the bytes of all runs, as packed() in numbers.py lays them out. */
export async function readSettings(rows, bytes) {
  const all = await unpack(bytes);
  let at = 0;
  const take = (size) => all.subarray(at, (at += size));
  return rows.map(({ seeds, records, cost, ...axes }) => {
    const runs = new Map();
    seeds.forEach((seed, i) => {
      const flat = Float64Array.from(take(CURVE * records[i]), (value) => (value < 0 ? NaN : value / 1e5));
      const curve = Array.from({ length: records[i] }, (_, row) => flat.subarray(CURVE * row, CURVE * (row + 1)));
      runs.set(seed, { curve, raw: calibrationOf(take(HELD)), tempered: calibrationOf(take(HELD)) });
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
  for (const { counts, sums } of held)
    counts.forEach((count, cell) => {
      const bin = bins[Math.floor((Math.floor(cell / 2) * n) / BINS)];
      bin.count += count;
      bin.right += cell % 2 ? count : 0;
      bin.confidence += sums[cell];
    });
  return bins;
}

/** The row of accuracy in points, as in ROWS of numbers.py. */
export const ACCURACY = ["accuracy", false, 100];

const METRICS = {
  accuracy: (bins) => bins.reduce((sum, { right }) => sum + right, 0),
  ece: (bins) => bins.reduce((sum, { right, confidence }) => sum + Math.abs(confidence - right), 0),
  nll: (_, held) => held.nll,
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
