// The λ panel: the density of Beta(α, α), λs drawn from it, and the K λs of one pair, all redrawn within a frame.

import { ALPHA_SCALE, K_SCALE, connect, field, fitCanvas, legendItem, make, menuOf, slider } from "../shared/dom.js";
import { CHANNELS, bytesOf, mixBytes, paint, pasteBytes } from "../shared/pictures.js";
import { cdf, countBelow, cutBox, density, histogram, mixedMass, quantile, thetaBar, uniforms } from "../shared/law.js";

const DRAWS = 2000;
const BINS = 20;
const SIZE = 32; // the image on which CutMix's box is cut
const HEIGHT = 330;
const PLOT = { left: 46, right: 18, top: 34, bottom: 236 };
const LANE = 300; // where the λs of one pair stand
const THUMBS = 328; // where their images begin, if the panel has images
const THUMB = 64;
const BARS = { mixup: "λs drawn", cutmix: `true λs, the box clipped at the edge (${SIZE} × ${SIZE})` };

/** What the seed fixes: a uniform number for each λ, and a place for each box. */
export function drawings(seed) {
  const numbers = uniforms(seed, 3 * DRAWS);
  const order = Array.from({ length: DRAWS }, (_, i) => i).sort((i, j) => numbers[i] - numbers[j]);
  return {
    lams: numbers.slice(0, DRAWS),
    sorted: Float64Array.from(order, (i) => numbers[i]),
    rows: Uint8Array.from(order, (i) => SIZE * numbers[DRAWS + i]),
    columns: Uint8Array.from(order, (i) => SIZE * numbers[2 * DRAWS + i]),
    place: (i) => [Math.floor(SIZE * numbers[DRAWS + i]), Math.floor(SIZE * numbers[2 * DRAWS + i])],
  };
}

/** The mixes of one pair, from x to x′: each a λ as it weighs the label, and CutMix's box. */
export function pairMixes({ alpha, k, variant }, drawn) {
  const mixes = Array.from({ length: k }, (_, i) => {
    const lam = variant === "none" ? 1 : quantile(alpha, drawn.lams[i]);
    return variant === "cutmix" ? cutBox(lam, SIZE, SIZE, ...drawn.place(i)) : { lam };
  });
  return mixes.sort((one, other) => other.lam - one.lam);
}

/** The λs of one pair, from x to x′. */
export const pairLambdas = (state, drawn) => pairMixes(state, drawn).map(({ lam }) => lam);

/** The image of a mix of the pair. */
export const imageOf = ([a, b], mix) => ("top" in mix ? pasteBytes(a, b, mix, SIZE) : mixBytes(a, b, mix.lam));

/** The λs drawn, clipped as CutMix clips them. All with the same side of the box stand side by side: 32 edges place them. */
export function trueLambdas(alpha, drawn) {
  const lams = new Float64Array(DRAWS);
  let i = 0;
  for (let side = SIZE; side >= 0; side -= 1) {
    // Below 1.5 · 2^-53, √(1 - λ) rounds to 1 in float64, and the box is as large as the image.
    const edge = side === SIZE ? 1.5 * 2 ** -53 : 1 - (side / SIZE) ** 2;
    const end = side === 0 ? DRAWS : countBelow(drawn.sorted, cdf(alpha, edge));
    const lam = side === SIZE ? 0 : 1 - ((side + 0.5) / SIZE) ** 2; // any λ of this side cuts the same box
    for (; i < end; i += 1) lams[i] = cutBox(lam, SIZE, SIZE, drawn.rows[i], drawn.columns[i]).lam;
  }
  return lams;
}

/** What was drawn: counts in equal bins of [0, 1]; the share of λs within (0.1, 0.9); for CutMix their mean. */
export function summary({ alpha, variant }, drawn) {
  const counts = Array.from({ length: BINS }, () => 0);
  if (variant === "none") {
    counts[BINS - 1] = DRAWS;
    return { counts, mass: 0 };
  }
  if (variant !== "cutmix") return { counts: histogram(alpha, drawn.sorted, BINS), mass: mixedMass(alpha) };
  const lams = trueLambdas(alpha, drawn);
  for (const lam of lams) counts[Math.min(Math.floor(lam * BINS), BINS - 1)] += 1;
  const within = lams.filter((lam) => lam > 0.1 && lam < 0.9).length;
  return { counts, mass: within / DRAWS, mean: lams.reduce((sum, lam) => sum + lam, 0) / DRAWS };
}

/** The height of the density axis: the curve in the middle, and what a bin at the end holds on average. */
function ceiling({ alpha, variant }, heights) {
  if (variant !== "mixup") return 1.1 * Math.max(...heights);
  return 1.15 * Math.max(density(alpha, 0.5), BINS * cdf(alpha, 1 / BINS), 1.1);
}

const percent = (share) => Math.round(100 * share);

/** What the picture shows, in words. */
export function sentence(state, drawn) {
  const { alpha, variant } = state;
  if (variant === "none") return "No mixing: every λ is 1, and each image keeps its own label.";
  const lams = pairLambdas(state, drawn)
    .map((lam) => lam.toFixed(2))
    .join(", ");
  const law =
    `the larger part of a mix weighs θ̄ = ${thetaBar(alpha).toFixed(3)} on average, and P(0.1 < λ < 0.9) = ` +
    `${mixedMass(alpha).toFixed(3)}`;
  if (variant === "cutmix") {
    const { mass, mean } = summary(state, drawn);
    return (
      `As drawn, ${law}. The box is clipped at the edge, so the true λ is larger: here ${mean.toFixed(3)} on average, ` +
      `and ${percent(mass)} of 100 between 0.1 and 0.9. One pair: true λ = ${lams}.`
    );
  }
  return `At this α ${law}: ${percent(mixedMass(alpha))} of 100 mixes show both images. One pair: λ = ${lams}.`;
}

function draw(canvas, theme, state, drawn, images) {
  const { context: ink, width } = fitCanvas(canvas, images ? THUMBS + THUMB : HEIGHT);
  const { left, top, bottom } = PLOT;
  const right = width - PLOT.right;
  const atX = (lam) => left + lam * (right - left);
  const { counts, mass } = summary(state, drawn);
  const heights = counts.map((count) => (count * BINS) / DRAWS);
  const peak = ceiling(state, heights);
  const atY = (value) => bottom - (value / peak) * (bottom - top);
  ink.font = "13px system-ui, sans-serif";
  drawAxes(ink, theme, { atX, atY, peak, left, right });
  if (state.variant !== "none") drawBand(ink, theme, atX, mass);
  ink.fillStyle = theme.bars;
  const step = (right - left) / BINS;
  heights.forEach((height, i) => {
    const y = Math.max(atY(height), top);
    ink.fillRect(left + i * step + 0.5, y, step - 1, bottom - y);
  });
  if (state.variant !== "none") drawDensity(ink, theme, { atX, atY, left, right, alpha: state.alpha });
  const mixes = pairMixes(state, drawn);
  if (images) drawImages(ink, theme, { atX, left, right }, mixes, images);
  drawPair(
    ink,
    theme,
    { atX, left, right },
    mixes.map(({ lam }) => lam),
  );
}

function drawAxes(ink, theme, { atX, atY, peak, left, right }) {
  const step = [0.5, 1, 2, 5, 10, 20].find((size) => peak / size <= 5);
  ink.strokeStyle = theme.grid;
  ink.fillStyle = theme.faint;
  ink.lineWidth = 1;
  ink.textBaseline = "middle";
  ink.textAlign = "right";
  for (let value = 0; value < peak; value += step) {
    const y = Math.round(atY(value)) + 0.5;
    ink.beginPath();
    ink.moveTo(left, y);
    ink.lineTo(right, y);
    ink.stroke();
    ink.fillText(String(value), left - 7, y);
  }
  ink.textAlign = "left";
  ink.fillText("density", 2, 12);
  ink.textAlign = "center";
  for (const lam of [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1]) ink.fillText(String(lam), atX(lam), PLOT.bottom + 13);
  ink.fillStyle = theme.ink;
  ink.fillText("λ, the share of x", atX(0.5), PLOT.bottom + 32);
}

function drawBand(ink, theme, atX, mass) {
  const [low, high] = [atX(0.1), atX(0.9)];
  ink.strokeStyle = theme.faint;
  ink.fillStyle = theme.ink;
  ink.textAlign = "center";
  const words = `${percent(mass)}% of λs lie between 0.1 and 0.9`;
  const half = ink.measureText(words).width / 2 + 8;
  ink.fillText(words, atX(0.5), 12);
  ink.beginPath();
  for (const [end, inner] of [
    [low, atX(0.5) - half],
    [high, atX(0.5) + half],
  ]) {
    ink.moveTo(inner, 12.5);
    ink.lineTo(end, 12.5);
    ink.lineTo(end, PLOT.bottom);
  }
  ink.setLineDash([3, 3]);
  ink.stroke();
  ink.setLineDash([]);
}

function drawDensity(ink, theme, { atX, atY, left, right, alpha }) {
  ink.save();
  ink.beginPath();
  ink.rect(left, PLOT.top, right - left, PLOT.bottom - PLOT.top);
  ink.clip();
  ink.beginPath();
  const steps = Math.ceil((right - left) / 2);
  for (let i = 0; i < steps; i += 1) {
    const lam = (i + 0.5) / steps;
    ink.lineTo(atX(lam), Math.max(atY(density(alpha, lam)), PLOT.top - 10));
  }
  ink.strokeStyle = theme.first;
  ink.lineWidth = 2.5;
  ink.stroke();
  ink.restore();
}

function drawPair(ink, theme, { atX, left, right }, lams) {
  ink.fillStyle = theme.ink;
  ink.textAlign = "center";
  ink.fillText("x′", left - 16, LANE);
  ink.fillText("x", right + 11, LANE);
  ink.strokeStyle = theme.faint;
  ink.lineWidth = 1;
  ink.beginPath();
  ink.moveTo(left, LANE + 0.5);
  ink.lineTo(right, LANE + 0.5);
  ink.stroke();
  ink.fillStyle = theme.second;
  ink.strokeStyle = theme.ink;
  for (const lam of lams) {
    ink.beginPath();
    ink.arc(atX(lam), LANE, 6, 0, 2 * Math.PI);
    ink.fill();
    ink.stroke();
  }
}

/** Below the dots the image of each mix, evenly spaced, with a line from its dot. */
function drawImages(ink, theme, { atX, left, right }, mixes, { pair, scratch }) {
  const step = (right - left) / mixes.length;
  const side = Math.min(THUMB, step - 6);
  ink.imageSmoothingEnabled = false;
  Object.assign(ink, { strokeStyle: theme.faint, lineWidth: 1 });
  mixes.forEach((mix, i) => {
    const center = right - (i + 0.5) * step;
    ink.beginPath();
    ink.moveTo(atX(mix.lam), LANE);
    ink.lineTo(center, THUMBS);
    ink.stroke();
    paint(scratch, imageOf(pair, mix));
    ink.drawImage(scratch, center - side / 2, THUMBS, side, side);
  });
}

function showPanel({ model, el }) {
  const state = Object.fromEntries(["alpha", "k", "variant", "seed"].map((name) => [name, model.get(name)]));
  let drawn = drawings(state.seed);
  const pixels = bytesOf(model.get("_images"));
  const length = SIZE * SIZE * CHANNELS;
  const images = pixels.length && {
    pair: [pixels.subarray(0, length), pixels.subarray(length)],
    scratch: make("canvas", { width: SIZE, height: SIZE }),
  };
  let drawnSeed = state.seed;
  const canvas = make("canvas", { role: "img", class: "mx-plot" });
  const words = make("p", { class: "mx-words", "aria-hidden": "true" });
  const drawnWords = make("span");
  const pairWords = make("span");
  const legend = make(
    "p",
    { class: "mx-legend" },
    legendItem("line", "density of Beta(α, α)"),
    legendItem("bar", drawnWords),
    legendItem("dot", pairWords),
  );
  const variants = Object.entries(model.get("_variants")).map(([name, meaning]) => [name, name, meaning]);
  const menu = menuOf(variants, (variant) => {
    state.variant = variant;
    commit();
  });
  const say = () => sentence(state, drawn);
  const root = make("div", { class: "mixlab-panel mx-law", role: "group", "aria-label": "The law of λ" });

  const look = (theme) => {
    if (drawnSeed !== state.seed) [drawn, drawnSeed] = [drawings(state.seed), state.seed];
    draw(canvas, theme, state, drawn, images);
    words.textContent = say();
    drawnWords.textContent = `${DRAWS.toLocaleString("en")} ${BARS[state.variant] ?? BARS.mixup}`;
    pairWords.textContent = state.k === 1 ? "the λ of one pair" : `the ${state.k} λs of one pair, from x to x′`;
    canvas.setAttribute("aria-label", `Density of Beta(α, α) at α = ${ALPHA_SCALE.say(state.alpha)}. ${say()}`);
  };
  const follow = (name) => (value) => {
    state[name] = value;
    ask();
  };
  const release = () => commit();
  const alpha = slider("α, on a log scale", ALPHA_SCALE, follow("alpha"), release);
  const k = slider("K, mixes of each pair", K_SCALE, follow("k"), release);
  const again = make("button", { type: "button" }, "Draw again");
  again.addEventListener("click", () => {
    state.seed = (state.seed + 1) % 2 ** 31;
    commit();
  });
  root.append(
    make("div", { class: "mx-controls" }, alpha.node, k.node, field("Variant", menu), again),
    legend,
    canvas,
    words,
  );
  el.append(root);
  const show = () => {
    alpha.show(state.alpha);
    k.show(state.k);
    menu.value = state.variant;
  };
  const { ask, commit, takeDown } = connect(model, root, state, { show, draw: look, sentence: say });
  return takeDown;
}

export default { render: showPanel };
