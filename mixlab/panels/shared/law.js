// The law of λ and the CutMix box, in the browser. Python is the oracle: the tests hold every function here to it.

const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** ln Γ(z) for z > 0 (Lanczos, g = 7; Γ(z) = Γ(z + 1) / z keeps small z exact). */
export function lnGamma(z) {
  if (z < 0.5) return lnGamma(z + 1) - Math.log(z);
  const t = z + 6.5;
  let sum = LANCZOS[0];
  for (let i = 1; i < 9; i += 1) sum += LANCZOS[i] / (z - 1 + i);
  return 0.5 * Math.log(2 * Math.PI) + (z - 0.5) * Math.log(t) - t + Math.log(sum);
}

/** ln B(α, α). */
const lnBeta = (alpha) => 2 * lnGamma(alpha) - lnGamma(2 * alpha);

/** Density of Beta(α, α) at x in [0, 1]; infinite at both ends where α < 1. */
export function density(alpha, x) {
  if (alpha === 1) return 1;
  return Math.exp((alpha - 1) * (Math.log(x) + Math.log1p(-x)) - lnBeta(alpha));
}

/** ln P(λ < e^t) for e^t <= ½: the continued fraction of the incomplete Beta function (modified Lentz). */
function lnLowerTail(alpha, t, lnB) {
  const x = Math.exp(t);
  let c = 1;
  let d = 1 / (1 - (x * 2 * alpha) / (alpha + 1));
  let fraction = d;
  for (let m = 1; m < 500; m += 1) {
    const even = (m * (alpha - m) * x) / ((alpha + 2 * m - 1) * (alpha + 2 * m));
    d = 1 / (1 + even * d);
    c = 1 + even / c;
    fraction *= c * d;
    const odd = (-(alpha + m) * (2 * alpha + m) * x) / ((alpha + 2 * m) * (alpha + 2 * m + 1));
    d = 1 / (1 + odd * d);
    c = 1 + odd / c;
    fraction *= c * d;
    if (Math.abs(c * d - 1) < 1e-15) break;
  }
  return alpha * (t + Math.log1p(-x)) - Math.log(alpha) - lnB + Math.log(fraction);
}

/** P(λ < x) for λ ~ Beta(α, α). */
export function cdf(alpha, x) {
  if (x <= 0) return 0;
  if (x > 0.5) return 1 - cdf(alpha, 1 - x);
  return Math.exp(lnLowerTail(alpha, Math.log(x), lnBeta(alpha)));
}

/** The x with P(λ < x) = u. In log x the log of the distribution function is concave, so Newton cannot leave it. */
export function quantile(alpha, u) {
  if (u > 0.5) return 1 - quantile(alpha, 1 - u);
  const lnB = lnBeta(alpha);
  const target = Math.log(u);
  const middle = -Math.LN2;
  let t = Math.min((target + Math.log(alpha) + lnB) / alpha, middle);
  for (let step = 0; step < 60; step += 1) {
    const value = lnLowerTail(alpha, t, lnB);
    const slope = Math.exp(alpha * t + (alpha - 1) * Math.log1p(-Math.exp(t)) - lnB - value);
    const next = Math.min(t + (target - value) / slope, middle);
    if (Math.abs(next - t) < 1e-14 * Math.abs(t)) break;
    t = next;
  }
  return Math.exp(t);
}

/** θ̄ = E[max(λ, 1 - λ)] = ½ + 1 / (α 4^α B(α, α)). */
export const thetaBar = (alpha) => 0.5 + Math.exp(-Math.log(alpha) - alpha * Math.log(4) - lnBeta(alpha));

/** P(0.1 < λ < 0.9). */
export const mixedMass = (alpha) => 1 - 2 * cdf(alpha, 0.1);

/** A function that gives one number in (0, 1) after another, from a seed (mulberry32). */
export function stream(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return (((z ^ (z >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
}

/** n numbers in (0, 1) from a seed. The same numbers at every α, so that α moves each λ smoothly. */
export function uniforms(seed, n) {
  return Float64Array.from({ length: n }, stream(seed));
}

/** How many of `sorted` (ascending) lie below `value`. */
export function countBelow(sorted, value) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How many of the λs with these sorted uniforms fall in each of `bins` equal bins: the bin edges are mapped, not the λs. */
export function histogram(alpha, sorted, bins) {
  const below = Array.from({ length: bins + 1 }, (_, i) => countBelow(sorted, cdf(alpha, i / bins)));
  below[bins] = sorted.length;
  return below.slice(1).map((count, i) => count - below[i]);
}

/** CutMix's box for a nominal λ: cut = int(size · √(1 - λ)), corners at center ± cut // 2, clipped to the image. */
export function cutBox(lam, height, width, row, column) {
  const share = Math.sqrt(1 - lam);
  const half = [Math.floor(height * share) >> 1, Math.floor(width * share) >> 1];
  const [top, left] = [Math.max(row - half[0], 0), Math.max(column - half[1], 0)];
  const [bottom, right] = [Math.min(row + half[0], height), Math.min(column + half[1], width)];
  return { top, left, bottom, right, lam: 1 - ((bottom - top) * (right - left)) / (height * width) };
}
