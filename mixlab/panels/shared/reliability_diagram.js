// The reliability diagram as SVG, that of mixlab.plots in the browser: one run as bars with hatched gaps, or two as lines.

import { EDGE, between, frame, ink, path, text } from "./diagram.js";
import { differing, make, newId } from "./dom.js";

export const FEW = 10; // predictions in a bin; the gap of fewer says little
const NARROW = 2; // pixels: bins of equal mass may be narrower, and would not be seen
const WORDS = 68; // pixels that "right 0.66" takes beside its line
const HATCHED = 40; // bins at most: in narrower ones no hatching is seen, and outlines take long to draw
const SIDES = ["one", "two"]; // of two runs overlaid; in classes of charts.css

/** A pattern for gaps of over- or under-confidence: its node, and the fill that refers to it. */
function hatch(kind) {
  const id = newId();
  const turn = kind === "over" ? 45 : -45;
  const lines = ink("line", { class: `mx-${kind}`, x1: 0, y1: 0, x2: 0, y2: 6 });
  const pattern = { id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: `rotate(${turn})` };
  return [ink("defs", {}, ink("pattern", pattern, lines)), `url(#${id})`];
}

/** Where numbers stand in a diagram of this size. */
function places(wide, tall) {
  const foot = tall - EDGE.bottom;
  const strip = tall > 300 ? 62 : 42; // the histogram
  const bottom = foot - strip - 8;
  return {
    foot,
    bottom,
    top: foot - strip,
    atX: between(0, 1, EDGE.left, wide - EDGE.right),
    atY: between(0, 1, bottom, EDGE.top),
  };
}

/** A rectangle in a path. */
const block = (left, right, top, bottom) =>
  `M${left.toFixed(1)} ${top.toFixed(1)}H${right.toFixed(1)}V${bottom.toFixed(1)}H${left.toFixed(1)}Z`;

/** All bars of a kind as one path: a node for each would be too slow under a drag. */
function bars(bins, { atX, atY, bottom }, fills) {
  const dense = bins.length > HATCHED ? " mx-dense" : "";
  const shapes = { right: "", over: "", under: "" };
  const pale = { ...shapes };
  for (const { low, high, count, confidence, accuracy } of bins) {
    const into = count < FEW ? pale : shapes;
    const [left, right] = [atX(low) + 0.5, Math.max(atX(high) - 0.5, atX(low) + NARROW)];
    into.right += block(left, right, atY(accuracy), bottom);
    const [top, foot] = [atY(Math.max(confidence, accuracy)), atY(Math.min(confidence, accuracy))];
    into[confidence > accuracy ? "over" : "under"] += block(left, right, top, foot);
  }
  return [
    [shapes, 1],
    [pale, 0.3],
  ].flatMap(([paths, opacity]) => [
    ink("path", { class: "mx-right", d: paths.right, opacity }),
    ink("path", { class: `mx-gap-over${dense}`, d: paths.over, fill: fills.over, opacity }),
    ink("path", { class: `mx-gap-under${dense}`, d: paths.under, fill: fills.under, opacity }),
  ]);
}

/** The mark of the first run, a dot, or of the second, a square, as a path. */
export const markAt = (which) =>
  which === "one"
    ? ([x, y]) => `M${x - 4} ${y}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z`
    : ([x, y]) => `M${x - 4} ${y - 4}h8v8h-8Z`;

/** A run's bins as a line with a mark at each, and from each mark the gap to the diagonal. */
function marks(bins, which, { atX, atY }) {
  const points = bins.filter(({ count }) => count >= FEW).map(({ confidence, accuracy }) => [confidence, accuracy]);
  const gaps = points.map(([x, y]) => `M${atX(x).toFixed(1)} ${atY(y).toFixed(1)}V${atY(x).toFixed(1)}`).join("");
  return [
    ink("path", { class: `mx-thin mx-run-${which}`, d: gaps }),
    ink("path", { class: `mx-thick mx-run-${which}`, d: path(points, atX, atY) }),
    ink("path", {
      class: `mx-mark mx-run-${which}`,
      d: points.map(([x, y]) => markAt(which)([atX(x), atY(y)])).join(""),
    }),
  ];
}

/** Mean confidence and accuracy as lines through the histogram: their distance is what the model is off by on the whole. */
function uprights({ confidence, accuracy }, { atX, foot, top }, wide) {
  const lines = [
    [confidence, "says", "mx-says"],
    [accuracy, "right", "mx-is"],
  ];
  const fits = (value) => atX(value) + WORDS < wide;
  const rightward = (value) => value < 0.35 || (value === Math.max(confidence, accuracy) && fits(value));
  return [
    ...lines.map(([value, , kind]) => ink("line", { class: kind, x1: atX(value), x2: atX(value), y1: top, y2: foot })),
    ...lines.map(([value, word], row) =>
      text(
        atX(value) + (rightward(value) ? 5 : -5),
        top + 8 + 15 * row,
        `${word} ${value.toFixed(2)}`,
        "mx-said",
        rightward(value) ? "start" : "end",
      ),
    ),
  ];
}

function histogramBars(counts, most, { atX, foot, top }) {
  const tall = between(0, most, foot, top);
  const edge = (i) => atX(i / counts.length);
  return ink("path", {
    class: "mx-count",
    d: counts.map((count, i) => (count ? block(edge(i) + 0.3, edge(i + 1) - 0.3, tall(count), foot) : "")).join(""),
  });
}

function histogramOutline(counts, most, which, { atX, foot, top }) {
  const tall = between(0, most, foot, top);
  const steps = counts
    .map((count, i) => `V${tall(count).toFixed(1)}H${atX((i + 1) / counts.length).toFixed(1)}`)
    .join("");
  return ink("path", { class: `mx-outline mx-run-${which}`, d: `M${atX(0)} ${foot}${steps}V${foot}` });
}

/**
 * A diagram: `node`, and draw(scores of no run, one or two, size, say), where `say` puts a run's estimate in words.
 * Scores are bins ({ low, high, count, confidence, accuracy }, none of them empty), the mean confidence, the accuracy and
 * the lean in words, and counts in bins of equal width for the histogram.
 */
export function reliabilityDiagram() {
  const svg = ink("svg", { role: "img", class: "mx-figure" });
  const [overInk, over] = hatch("over");
  const [underInk, under] = hatch("under");
  const [back, layer] = [ink("g"), ink("g")];
  svg.append(overInk, underInk, back, layer);
  const sizeIsStale = differing();
  const fifths = [0, 0.2, 0.4, 0.6, 0.8, 1];

  const draw = (shown, [wide, tall], say) => {
    const place = places(wide, tall);
    const { atX, atY, bottom, foot, top } = place;
    const overlaid = shown.length > 1;
    const most = Math.max(0, ...shown.flatMap(({ counts }) => counts));
    const head = (words, row, kind) => text(EDGE.left + 10, EDGE.top + 12 + 21 * row, words, kind, "start");
    const tail = (words, row, kind) => text(wide - EDGE.right - 10, bottom - 33 + 21 * row, words, kind, "end");
    const lines = (scores, i) => [
      ...marks(scores.bins, SIDES[i], place),
      histogramOutline(scores.counts, most, SIDES[i], place),
      tail(say(scores, i), i, `mx-big mx-word-${SIDES[i]}`),
    ];
    const details = (scores) => [
      histogramBars(scores.counts, most, place),
      ...uprights(scores, place, wide),
      head(say(scores, 0), 0, "mx-big"),
      head(scores.lean, 1, "mx-said"),
    ];
    if (sizeIsStale(wide, tall)) {
      svg.setAttribute("viewBox", `0 0 ${wide} ${tall}`);
      back.replaceChildren(
        ...frame(fifths, fifths, atX, atY, { wide, bottom: foot, name: "confidence" }),
        text(EDGE.left - 6, foot - 6, "count", "mx-tick", "end"),
      );
    }
    layer.replaceChildren(
      ...(most ? [text(EDGE.left - 6, top + 5, most.toLocaleString("en"), "mx-tick", "end")] : []),
      ...(overlaid ? [] : shown.flatMap(({ bins }) => bars(bins, place, { over, under }))),
      ink("line", { class: "mx-diagonal", x1: atX(0), y1: atY(0), x2: atX(1), y2: atY(1) }),
      ...shown.flatMap(overlaid ? lines : details),
    );
  };
  return { node: svg, draw };
}

const item = (words, ...picture) => make("span", {}, ...picture, words);

function sample(...nodes) {
  const svg = ink("svg", { class: "mx-sample", viewBox: "0 0 34 12", "aria-hidden": "true" });
  svg.append(...nodes);
  return svg;
}

/** What the bars mean, as the entries of a legend. */
export function barLegend() {
  const box = { x: 1, y: 1, width: 32, height: 10 };
  const gap = (kind) => {
    const [pattern, fill] = hatch(kind);
    return item(`gap: ${kind}-confident`, sample(pattern, ink("rect", { ...box, class: `mx-gap-${kind}`, fill })));
  };
  return [
    item("share of right answers", sample(ink("rect", { ...box, class: "mx-right" }))),
    gap("over"),
    gap("under"),
    item(
      `Calibrated bars end on the dashed diagonal, at the mean confidence of the bin; bars of fewer than ${FEW} predictions are pale.`,
    ),
  ];
}

/** What the lines of two runs mean, likewise. */
export function lineLegend(names) {
  const line = (name, i) =>
    item(
      name,
      sample(
        ink("line", { class: `mx-thick mx-run-${SIDES[i]}`, x1: 0, x2: 34, y1: 6, y2: 6 }),
        ink("path", { class: `mx-mark mx-run-${SIDES[i]}`, d: markAt(SIDES[i])([17, 6]) }),
      ),
    );
  return [
    ...names.map(line),
    item(
      `Share of right answers in each bin of at least ${FEW} predictions: below the diagonal over-confident, above it under-confident.`,
    ),
  ];
}
