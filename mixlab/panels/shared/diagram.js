// Axes and curves as SVG: numbers in, nodes out. Colors are classes of charts.css.

const SVG = "http://www.w3.org/2000/svg";
const TALL = 220;
/** The width on the page, so that letters keep their size however narrow the panel is. */
export const widthOf = (svg) => Math.max(Math.round(svg.clientWidth), 200);

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

export function ticks(most, count) {
  const step = tickStep(most, count);
  return Array.from({ length: Math.floor(most / step + 1.001) }, (_, i) => Number((i * step).toPrecision(6)));
}

export function frame(xs, ys, atX, atY, { wide, bottom, name, say = String }) {
  const [left, right] = [EDGE.left, wide - EDGE.right];
  return [
    ...ys.map((y) => ink("line", { class: "mx-grid", x1: left, x2: right, y1: atY(y), y2: atY(y) })),
    ...ys.map((y) => text(left - 6, atY(y), String(y), "mx-tick", "end")),
    ...xs.map((x) => text(atX(x), bottom + 12, say(x), "mx-tick")),
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
