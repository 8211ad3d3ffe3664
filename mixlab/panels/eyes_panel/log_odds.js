// The line in log-odds through what a person saw, and the words for it, in the browser. Python is the oracle (log_odds.py).

export const FEWEST = 3; // answers that a line takes
const GRID = Array.from({ length: 99 }, (_, i) => (i + 1) / 100);

const logit = (share) => Math.log(share / (1 - share));
const share = (odds) => 1 / (1 + Math.exp(-odds));
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * The slope of logit(seen) over logit(λ) as [value, low, high], and the curve as rows [λ, low, middle, high], with 95%
 * intervals; `student` holds the 97.5% quantiles for 3, 4, ... answers.
 */
export function fitLogOdds(lams, seen, student) {
  const [x, y] = [lams.slice(0, seen.length), seen].map((shares) => shares.map(logit));
  const [middle, height] = [mean(x), mean(y)];
  const away = x.map((value) => value - middle);
  const spread = Math.hypot(...away);
  const slope = away.reduce((sum, value, i) => sum + value * y[i], 0) / spread ** 2;
  const noise = Math.hypot(...away.map((value, i) => y[i] - height - slope * value)) / Math.sqrt(y.length - 2);
  const reach = noise * student[y.length - FEWEST];
  const curve = GRID.map((lam) => {
    const there = logit(lam) - middle;
    const half = reach * Math.hypot(1 / Math.sqrt(y.length), there / spread);
    return [lam, ...[-half, 0, half].map((off) => share(height + slope * there + off))];
  });
  return { slope: [slope, slope - reach / spread, slope + reach / spread], curve };
}

/** What the answers say, as Python has it. */
export function describe(lams, seen, { slope: [value, low, high] }) {
  const off = 100 * mean(seen.map((answer, i) => Math.abs(answer - lams[i])));
  let lean = "an interval containing 1, which is what mixup assumes";
  if (low > 1) lean = "above 1: these eyes exaggerate the larger part";
  if (high < 1) lean = "below 1: these eyes even the two parts out";
  return (
    `${seen.length} of ${lams.length} answers, ${off.toFixed(0)} points from λ on average. ` +
    `The slope in log-odds is ${value.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}], ${lean}.`
  );
}
