// The spiral panel: the plane with its decision field, the bottleneck of two numbers, each class's singular values there.

import { between, ink, text, tickStep, widthOf } from "../shared/diagram.js";
import { ALPHA_SCALE, K_SCALE, PLAIN_SCALE, differing, field, fitCanvas, make, menuOf, slider } from "../shared/dom.js";
import { bytesOfColor } from "../shared/pictures.js";
import { showRunPanel } from "../shared/running.js";
import { trainHere } from "./spiral_training.js";

const PANEL = {
  names: ["layer", "alpha", "k", "classes", "epochs", "seed"],
  kind: "mx-spirals",
  label: "Spirals",
  starts: true,
  stepwise: false, // the pictures follow epochs, so a step would show nothing
};
const CLASS_NAMES = ["A", "B", "C"];
const SIDE = 80; // cells a side of the decision field
const FAR = 1.2; // the plane is drawn from -FAR to FAR
const TONE = 0.6; // how strong a color is where the net is sure
const MARGIN = { left: 34, right: 8, top: 6, bottom: 34 };

/** The parts of the synced bytes, one entry for each run: points, hidden states, labels, field. */
export function unpack(view, runs) {
  let at = view.byteOffset;
  const take = (Kind, count) => {
    const bytes = count * Kind.BYTES_PER_ELEMENT;
    const part = new Kind(view.buffer.slice(at, at + bytes));
    at += bytes;
    return part;
  };
  return runs.map(({ classes, count }) => ({
    points: take(Float32Array, 2 * count),
    hidden: take(Float32Array, 2 * count),
    labels: take(Uint8Array, count),
    field: take(Uint8Array, classes * SIDE * SIDE),
  }));
}

/** How sure the net is at a cell, 0 for all classes alike to 1 for one alone, and of which class. */
export function certainty(field, classes, cell) {
  let [best, most] = [0, -1];
  for (let label = 0; label < classes; label += 1) {
    const p = field[label * SIDE * SIDE + cell] / 255;
    if (p > most) [best, most] = [label, p];
  }
  return [best, Math.min(Math.max((most * classes - 1) / (classes - 1), 0), 1)];
}

/** The field as a picture of SIDE by SIDE pixels: the color of the likeliest class, the paler the less sure. */
function fieldPicture({ field }, { classes, measured }, theme) {
  const [paper, colors] = [theme.paper.match(/[\d.]+/g).map(Number), theme.classes.map(bytesOfColor)];
  const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
  const context = canvas.getContext("2d");
  const picture = context.createImageData(SIDE, SIDE);
  for (let cell = 0; cell < SIDE * SIDE; cell += 1) {
    const [best, sure] = measured ? certainty(field, classes, cell) : [0, 0];
    const row = SIDE - 1 - Math.floor(cell / SIDE); // rows count from the bottom
    const place = 4 * (row * SIDE + (cell % SIDE));
    for (let i = 0; i < 3; i += 1) picture.data[place + i] = paper[i] + TONE * sure * (colors[best][i] - paper[i]);
    picture.data[place + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

/** One mark, a shape of its own for each class. */
function mark(context, label, x, y, size) {
  context.beginPath();
  if (label === 0) context.arc(x, y, size, 0, 7);
  else if (label === 1) context.rect(x - 0.9 * size, y - 0.9 * size, 1.8 * size, 1.8 * size);
  else {
    context.moveTo(x, y - 1.3 * size);
    context.lineTo(x + 1.2 * size, y + 0.9 * size);
    context.lineTo(x - 1.2 * size, y + 0.9 * size);
  }
  context.closePath();
  context.fill();
}

function marks(context, values, labels, atX, atY, size, theme) {
  context.lineWidth = 0.8;
  context.strokeStyle = theme.paper;
  for (let i = 0; i < labels.length; i += 1) {
    context.fillStyle = theme.classes[labels[i]];
    mark(context, labels[i], atX(values[2 * i]), atY(values[2 * i + 1]), size);
    if (size > 2) context.stroke();
  }
}

/** A square that holds all states, with a margin: middle and half width. */
export function square(values) {
  const ends = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < values.length; i += 2) {
    ends[0] = Math.min(ends[0], values[i]);
    ends[1] = Math.max(ends[1], values[i]);
    ends[2] = Math.min(ends[2], values[i + 1]);
    ends[3] = Math.max(ends[3], values[i + 1]);
  }
  const half = 0.56 * Math.max(ends[1] - ends[0], ends[3] - ends[2], 1e-6);
  return { x: (ends[0] + ends[1]) / 2, y: (ends[2] + ends[3]) / 2, half };
}

/** A picture with axes: a square of the plane with ticks, or a thumbnail without. */
function axes(canvas, theme, { x, y, half, names, small }) {
  const wide = Math.max(canvas.clientWidth, 60);
  const edge = small ? { left: 1, right: 1, top: 1, bottom: 1 } : MARGIN;
  const side = wide - edge.left - edge.right;
  const { context } = fitCanvas(canvas, side + edge.top + edge.bottom);
  const atX = between(x - half, x + half, edge.left, edge.left + side);
  const atY = between(y - half, y + half, edge.top + side, edge.top);
  const frame = () => {
    context.strokeStyle = theme.faint;
    context.lineWidth = 1;
    context.strokeRect(edge.left, edge.top, side, side);
    if (small) return;
    context.fillStyle = theme.faint;
    context.font = "11px system-ui, sans-serif";
    const step = tickStep(2 * half, 4);
    const ticks = (middle) => {
      const first = Math.ceil((middle - half) / step);
      const count = Math.floor((middle + half) / step) - first + 1;
      return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(6)));
    };
    context.textAlign = "center";
    for (const tick of ticks(x)) context.fillText(String(tick), atX(tick), edge.top + side + 13);
    context.textAlign = "right";
    for (const tick of ticks(y)) context.fillText(String(tick), edge.left - 4, atY(tick) + 4);
    context.fillStyle = theme.ink;
    context.textAlign = "center";
    context.font = "12px system-ui, sans-serif";
    context.fillText(names[0], edge.left + side / 2, edge.top + side + 28);
    context.save();
    context.translate(9, edge.top + side / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(names[1], 0, 0);
    context.restore();
  };
  return { context, atX, atY, frame };
}

function drawPlane(canvas, parts, run, theme, small) {
  const { context, atX, atY, frame } = axes(canvas, theme, { x: 0, y: 0, half: FAR, names: ["x₁", "x₂"], small });
  context.imageSmoothingEnabled = true;
  context.drawImage(fieldPicture(parts, run, theme), atX(-FAR), atY(FAR), atX(FAR) - atX(-FAR), atY(-FAR) - atY(FAR));
  marks(context, parts.points, parts.labels, atX, atY, small ? 0.8 : 2.4, theme);
  frame();
}

function drawHidden(canvas, parts, run, theme, small) {
  const place = run.measured ? square(parts.hidden) : { x: 0, y: 0, half: 1 };
  const { context, atX, atY, frame } = axes(canvas, theme, { ...place, names: ["h₁", "h₂"], small });
  if (run.measured) marks(context, parts.hidden, parts.labels, atX, atY, small ? 0.8 : 2.4, theme);
  frame();
}

/** Bars of this run's singular values, and a tick on each for those of the run before. */
function drawValues(svg, runs, colors) {
  const [wide, row, gap, left] = [widthOf(svg), 17, 8, 60];
  const [run, earlier] = runs;
  const pairs = run.values ?? Array.from({ length: run.classes }, () => [0, 0]);
  const ghost = earlier?.values?.length === pairs.length ? earlier.values : null;
  const top = Math.max(1, ...pairs.flat(), ...(ghost ?? []).flat());
  const atX = between(0, top, left, wide - 36);
  const tall = pairs.length * (2 * row + gap);
  const nodes = pairs.flatMap((pair, label) =>
    pair.flatMap((value, place) => {
      const y = label * (2 * row + gap) + place * row + 3;
      const fill = colors[label];
      const before = ghost
        ? [
            ink("line", {
              class: "mx-before",
              x1: atX(ghost[label][place]),
              x2: atX(ghost[label][place]),
              y1: y - 1,
              y2: y + row - 3,
            }),
          ]
        : [];
      return [
        text(left - 5, y + row / 2 - 1, place ? "second" : `${CLASS_NAMES[label]} largest`, "mx-tick", "end"),
        ink("rect", {
          x: left,
          y,
          width: Math.max(atX(value) - left, 0),
          height: row - 4,
          fill,
          opacity: place ? 0.6 : 1,
        }),
        ...before,
        ...(run.values ? [text(wide - 2, y + row / 2 - 1, value.toFixed(2), "mx-tick", "end")] : []),
      ];
    }),
  );
  const ends = [0, 0.5, 1].map((tick) => text(atX(tick), tall + 10, String(tick), "mx-tick"));
  svg.setAttribute("viewBox", `0 0 ${wide} ${tall + 18}`);
  svg.replaceChildren(ink("line", { class: "mx-grid", x1: atX(1), x2: atX(1), y1: 0, y2: tall }), ...nodes, ...ends);
}

function pictures() {
  const canvas = () => make("canvas", { role: "img", class: "mx-plot" });
  const [plane, hidden, planeBefore, hiddenBefore] = [canvas(), canvas(), canvas(), canvas()];
  const bars = ink("svg", { role: "img", class: "mx-figure" });
  const heading = (words) => make("div", { class: "mx-chart-name" }, words);
  const name = make("p", { class: "mx-run-name" });
  const reached = make("p", { class: "mx-note" });
  const before = make("p", { class: "mx-note" });
  const key = make("p", { class: "mx-legend" });
  const thumbs = make("div", { class: "mx-thumbs" }, planeBefore, hiddenBefore);
  const ghost = make("div", { class: "mx-ghost-run" }, heading("The run before"), thumbs, before);
  const column = make(
    "div",
    { class: "mx-side" },
    heading("Spread of each class there"),
    bars,
    make("p", { class: "mx-key-words" }, "Singular values, 1 = spread of all points. Upright tick: the run before."),
    ghost,
  );
  const grid = make(
    "div",
    { class: "mx-three" },
    make(
      "div",
      {},
      heading("The plane"),
      plane,
      make("p", { class: "mx-key-words" }, "Color: the answer. The fainter, the less sure."),
    ),
    make(
      "div",
      {},
      heading("The bottleneck"),
      hidden,
      make("p", { class: "mx-key-words" }, "The same points, as the net's two hidden numbers."),
    ),
    column,
  );

  const draw = (view, bytes, theme) => {
    const runs = view.runs.map((run) => ({ ...run, measured: run.values !== null }));
    const parts = unpack(bytes, runs);
    const [run, earlier] = runs;
    key.replaceChildren(
      ...CLASS_NAMES.slice(0, run.classes).map((letter, label) => {
        const sample = ink("svg", { class: "mx-sample", viewBox: "-8 -6 16 12", "aria-hidden": "true" });
        const fill = theme.classes[label];
        sample.append(
          [
            ink("circle", { r: 5, fill }),
            ink("rect", { x: -4.5, y: -4.5, width: 9, height: 9, fill }),
            ink("path", { d: "M0-6L6 4H-6Z", fill }),
          ][label],
        );
        return make("span", {}, sample, `class ${letter}`);
      }),
    );
    drawPlane(plane, parts[0], run, theme, false);
    drawHidden(hidden, parts[0], run, theme, false);
    drawValues(bars, runs, theme.classes);
    const said = `${run.name}, seed ${run.seed}`;
    name.textContent =
      view.phase === "idle" ? "Nothing has been trained yet: these are the points." : `This run: ${said}.`;
    reached.textContent = run.measured ? run.reached : "";
    plane.setAttribute(
      "aria-label",
      `The plane with its points and the answer of the net everywhere. ${said}: ${run.reached}`,
    );
    hidden.setAttribute("aria-label", `The points in the bottleneck. ${said}: ${run.reached}`);
    bars.setAttribute("aria-label", `Singular values of each class in the bottleneck. ${run.reached}`);
    ghost.hidden = !earlier;
    if (earlier) {
      drawPlane(planeBefore, parts[1], earlier, theme, true);
      drawHidden(hiddenBefore, parts[1], earlier, theme, true);
      const words = `${earlier.name}, seed ${earlier.seed}`;
      before.textContent = `${words}: ${earlier.reached}`;
      planeBefore.setAttribute("aria-label", `The plane after the run before, ${words}`);
      hiddenBefore.setAttribute("aria-label", `The bottleneck after the run before, ${words}`);
    }
  };
  return { nodes: [name, reached, key, grid], draw };
}

function build({ model, root, state, follow, release, settle, seed }) {
  const layer = menuOf(Object.entries(model.get("_layers")), (value) => settle({ layer: value }));
  const classes = menuOf(
    [
      [2, "2, A and B"],
      [3, "3, A to C"],
    ],
    (value) => settle({ classes: Number(value) }),
  );
  const alpha = slider("α, log scale", ALPHA_SCALE, follow("alpha"), release);
  const k = slider("K, mixes a pair", K_SCALE, follow("k"), release);
  const epochs = slider("Epochs", { ...PLAIN_SCALE, min: 1, max: 400 }, follow("epochs"), release);
  const three = pictures();

  const isStale = differing(); // no slider changes the pictures, so they are not drawn again under its drag
  const draw = (view, theme) => {
    if (!isStale(view, theme)) return;
    const paper = getComputedStyle(root).backgroundColor;
    const colors = [theme.first, theme.second, theme.third];
    three.draw(view, model.get("_pictures"), { ...theme, paper, classes: colors });
  };
  const show = () => {
    [layer.value, classes.value] = [state.layer, state.classes];
    alpha.show(state.alpha);
    k.show(state.k);
    epochs.show(state.epochs);
    alpha.range.disabled = k.range.disabled = state.layer === "none";
  };
  const sentence = () =>
    `For the next start: mix ${state.layer}, α = ${ALPHA_SCALE.say(state.alpha)}, K = ${state.k}, ` +
    `${state.classes} classes, ${state.epochs} epochs, seed ${state.seed}.`;
  const rows = [
    { layer: field("Mix", layer), alpha: alpha.node, k: k.node },
    { classes: field("Classes", classes), epochs: epochs.node, seed },
  ];
  return { rows, below: three.nodes, show, draw, sentence };
}

function render(context) {
  const end = context.model.get("_alone") ? trainHere(context.model) : () => {};
  const takeDown = showRunPanel(context, PANEL, build);
  return () => {
    end();
    takeDown();
  };
}

export default { render };
