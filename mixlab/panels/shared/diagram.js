// Curves and reliability diagrams as SVG: numbers in, nodes out. Colors are classes of charts.css.

const SVG = "http://www.w3.org/2000/svg";
const TALL = 220;
/** The width on the page, so that letters keep their size however narrow the panel is. */
export const widthOf = (svg) => Math.max(Math.round(svg.clientWidth), 200);

export const FEW = 10; // predictions in a bin; the gap of fewer says little
export const EDGE = { left: 40, right: 14, top: 12, bottom: 40 };

export function ink(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export const text = (x, y, words, kind = "", anchor = "middle") =>
  ink("text", { x, y, class: `mx-text ${kind}`, "text-anchor": anchor, "dominant-baseline": "middle" }, words);

export const between = (low, high, start, end) => (value) =>
  start + ((value - low) / (high - low || 1)) * (end - start);

export const path = (points, atX, atY) =>
  points.map(([x, y], i) => `${i ? "L" : "M"}${atX(x).toFixed(1)} ${atY(y).toFixed(1)}`).join("");

/** A round step that gives about `count` ticks up to `most`. */
export function tickStep(most, count) {
  const rough = most / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 2.5, 5, 10].map((digit) => digit * power).find((step) => step >= rough * 0.999);
}

function ticks(most, count) {
  const step = tickStep(most, count);
  return Array.from({ length: Math.floor(most / step + 1.001) }, (_, i) => Number((i * step).toPrecision(6)));
}

export function frame(xs, ys, atX, atY, { wide, bottom, name }) {
  const [left, right] = [EDGE.left, wide - EDGE.right];
  return [
    ...ys.map((y) => ink("line", { class: "mx-grid", x1: left, x2: right, y1: atY(y), y2: atY(y) })),
    ...ys.map((y) => text(left - 6, atY(y), String(y), "mx-tick", "end")),
    ...xs.map((x) => text(atX(x), bottom + 12, String(x), "mx-tick")),
    text((left + right) / 2, bottom + 29, name),
  ];
}

/** Horizontal lines with their words at the left end: above the line if there is room, the lower one's of two below. */
function levelLines(levels, atY, wide) {
  const lowest = Math.min(...levels.map(([value]) => value));
  return levels.flatMap(([value, words, kind]) => {
    const y = atY(value);
    const below = levels.length > 1 ? value === lowest : y < EDGE.top + 16;
    const place = below ? Math.min(y + 9, atY(0) - 7) : Math.max(y - 9, 7);
    return [
      ink("line", { class: kind, x1: EDGE.left, x2: wide - EDGE.right, y1: y, y2: y }),
      text(EDGE.left + 6, place, words, "mx-said", "start"),
    ];
  });
}

/**
 * Curves of this run and the one before (pale, dashed) over epochs, and level lines behind them.
 * Each curve is a list of [epoch, value]; levels, two at the most, are [value, words, class].
 */
export function curves(svg, [current = [], earlier = []], { epochs, top, levels = [], dots }) {
  const [wide, bottom] = [widthOf(svg), TALL - EDGE.bottom];
  const atX = between(0, epochs, EDGE.left, wide - EDGE.right);
  const atY = between(0, top, bottom, EDGE.top);
  const line = (points, kind) => (points.length > 1 ? [ink("path", { class: kind, d: path(points, atX, atY) })] : []);
  const marks = (points, kind) =>
    dots || points.length === 1
      ? points.map(([x, y]) => ink("circle", { class: kind, cx: atX(x), cy: atY(y), r: 3.2 }))
      : [];
  svg.setAttribute("viewBox", `0 0 ${wide} ${TALL}`);
  svg.replaceChildren(
    ...frame(ticks(epochs, wide / 70), ticks(top, 5), atX, atY, { wide, bottom, name: "epoch" }),
    ...levelLines(levels, atY, wide),
    ...line(earlier, "mx-ghost"),
    ...marks(earlier, "mx-ghost-dot"),
    ...line(current, "mx-current"),
    ...marks(current, "mx-current-dot"),
  );
}

let hatches = 0;

export function hatch(kind, turn) {
  hatches += 1;
  const id = `mixlab-hatch-${hatches}`;
  const lines = ink("line", { class: kind, x1: 0, y1: 0, x2: 0, y2: 6 });
  const pattern = { id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: `rotate(${turn})` };
  return [ink("defs", {}, ink("pattern", pattern, lines)), `url(#${id})`];
}

/** Share of right answers in each confidence bin, its gap to the confidence hatched, and the counts below. */
export function reliability(svg, { bins, width }) {
  const [wide, high, strip] = [widthOf(svg), TALL + 60, 36];
  const bottom = high - EDGE.bottom - strip - 8;
  const atX = between(0, 1, EDGE.left, wide - EDGE.right);
  const atY = between(0, 1, bottom, EDGE.top);
  const most = Math.max(...bins.map(([, count]) => count), 1);
  const tall = between(0, most, high - EDGE.bottom, high - EDGE.bottom - strip);
  const bar = (left, low, up, attributes) =>
    ink("rect", {
      x: atX(left) + 0.5,
      width: atX(left + width) - atX(left) - 1,
      y: up,
      height: Math.max(low - up, 0),
      ...attributes,
    });
  const [overInk, over] = hatch("mx-over", 45);
  const [underInk, under] = hatch("mx-under", -45);
  const nodes = bins.flatMap(([left, count, confidence, accuracy]) => {
    const [low, up] = [Math.min(confidence, accuracy), Math.max(confidence, accuracy)];
    const kind = confidence > accuracy ? "over" : "under";
    const pale = count < FEW ? { opacity: 0.3 } : {}; // the gap of so few says little
    return [
      bar(left, bottom, atY(accuracy), { class: "mx-right", ...pale }),
      bar(left, atY(low), atY(up), { class: `mx-gap-${kind}`, fill: kind === "over" ? over : under, ...pale }),
      bar(left, tall(0), tall(count), { class: "mx-count" }),
    ];
  });
  const fifths = [0, 0.2, 0.4, 0.6, 0.8, 1];
  svg.setAttribute("viewBox", `0 0 ${wide} ${high}`);
  svg.replaceChildren(
    overInk,
    underInk,
    ...frame(fifths, fifths, atX, atY, { wide, bottom: bottom + strip + 8, name: "confidence" }),
    text(EDGE.left - 6, tall(most / 2), "count", "mx-tick", "end"),
    ...nodes,
    ink("line", { class: "mx-diagonal", x1: atX(0), y1: atY(0), x2: atX(1), y2: atY(1) }),
  );
}
