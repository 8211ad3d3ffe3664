// The mixing panel: two images blended and pasted by hand, the label that goes with each, and rows of K mixes, one of which
// Python draws.

import {
  ALPHA_SCALE,
  K_SCALE,
  PLAIN_SCALE,
  asker,
  connect,
  field,
  fitCanvas,
  make,
  menuOf,
  slider,
  write,
} from "../shared/dom.js";
import { cutBox, quantile, uniforms } from "../shared/law.js";
import {
  CHANNELS,
  bytesOf,
  heading,
  labelWords,
  mixBytes,
  paint,
  pasteBytes,
  softLabel,
  tile,
} from "../shared/pictures.js";

const MOST = 8; // the strip has room for this many mixes
const FONT = "13px system-ui, sans-serif"; // of the strip
const STATE = ["pair", "lam", "alpha", "k", "seed", "row", "column", "variant"];
const ASKS = ["pair", "alpha", "k", "seed", "variant"]; // what the third row depends on

/** The seed's draws: first the mix on show, then those of the strip; each a λ and the center of a box. */
export function drawMixes(alpha, seed, height, width) {
  const numbers = uniforms(seed, 3 * (1 + MOST));
  return Array.from({ length: 1 + MOST }, (_, i) => ({
    lam: quantile(alpha, numbers[3 * i]),
    row: Math.floor(height * numbers[3 * i + 1]),
    column: Math.floor(width * numbers[3 * i + 2]),
  }));
}

/** The K mixes of the strip, from x to x′: those of mixup by λ, those of CutMix (the same λs, boxed) by true λ. */
export function stripOf({ alpha, seed, k }, height, width) {
  const mixes = drawMixes(alpha, seed, height, width).slice(1, 1 + k);
  const boxes = mixes.map(({ lam, row, column }) => cutBox(lam, height, width, row, column));
  return [mixes, boxes].map((row) => row.sort((one, other) => other.lam - one.lam));
}

function tiles(size) {
  const [firstName, secondName] = [make("span"), make("span")];
  const [firstLabel, secondLabel, mixLabel, cutLabel] = Array.from({ length: 4 }, softLabel);
  const truth = make("span", { class: "mx-truth" });
  const box = make("div", { class: "mx-box", "aria-hidden": "true" });
  const first = tile(heading("first", firstName), size, ...firstLabel.nodes);
  const second = tile(heading("second", secondName), size, ...secondLabel.nodes);
  const mixed = tile(heading("none", "mixup: blended"), size, ...mixLabel.nodes);
  const cut = tile(heading("none", "CutMix: drag the box"), size, ...cutLabel.nodes, truth);
  cut.frame.append(box);
  cut.frame.classList.add("mx-drag");

  const draw = (a, b, names, state) => {
    const [height, width] = size;
    const cutting = cutBox(state.lam, height, width, state.row, state.column);
    paint(first.canvas, a);
    paint(second.canvas, b);
    paint(mixed.canvas, mixBytes(a, b, state.lam));
    paint(cut.canvas, pasteBytes(a, b, cutting, width));
    firstName.textContent = `x: ${names[0]}`;
    secondName.textContent = `x′: ${names[1]}`;
    firstLabel.show(1, names);
    secondLabel.show(0, names);
    mixLabel.show(state.lam, names);
    cutLabel.show(cutting.lam, names);
    truth.textContent =
      `λ drawn ${state.lam.toFixed(2)}, true λ ${cutting.lam.toFixed(2)}: ` +
      `the box in the image is ${cutting.bottom - cutting.top} × ${cutting.right - cutting.left} pixels`;
    Object.assign(box.style, {
      top: `${(100 * cutting.top) / height}%`,
      left: `${(100 * cutting.left) / width}%`,
      height: `${(100 * (cutting.bottom - cutting.top)) / height}%`,
      width: `${(100 * (cutting.right - cutting.left)) / width}%`,
    });
    first.canvas.setAttribute("aria-label", `x, an image of class ${names[0]}`);
    second.canvas.setAttribute("aria-label", `x′, an image of class ${names[1]}`);
    mixed.canvas.setAttribute("aria-label", `mixup of both images: ${labelWords(state.lam, names)}`);
    cut.canvas.setAttribute(
      "aria-label",
      `CutMix: x with a box of x′ pasted in, ${labelWords(cutting.lam, names)}, ${truth.textContent}`,
    );
  };
  return {
    node: make("div", { class: "mx-tiles" }, ...[first, second, mixed, cut].map(({ node }) => node)),
    cut,
    draw,
  };
}

/** The K mixes between x and x′, by mixup, by CutMix and, if there is a `third` row, by the variant that Python draws. */
function strip([height, width], others) {
  const canvas = make("canvas", { role: "img", class: "mx-plot" });
  const scratch = make("canvas", { width, height });
  const draw = (theme, a, b, names, state, third) => {
    const context = canvas.getContext("2d");
    context.font = FONT;
    const margin = 12 + Math.max(...["mixup", "CutMix", ...others].map((name) => context.measureText(name).width));
    const gap = 6;
    const side = Math.min(Math.floor((canvas.clientWidth - margin) / (MOST + 2)) - gap, 80);
    const step = side + 32;
    const tight = context.measureText("0.50").width > side;
    const share = (lam) => (tight ? lam.toFixed(2).replace(/\.00$/, "").replace("0.", ".") : lam.toFixed(2));
    const { context: ink } = fitCanvas(canvas, (third ? 3 : 2) * step - 8);
    const [mixes, boxes] = stripOf(state, height, width);
    ink.imageSmoothingEnabled = false;
    ink.font = FONT;
    ink.fillStyle = theme.ink;
    ink.textBaseline = "middle";
    const drawRow = (row, name, word, shares, mix) => {
      const top = 20 + row * step;
      ink.textAlign = "left";
      ink.fillText(name, 0, top + side / 2);
      ink.fillText(word, 0, top - 11);
      ink.textAlign = "center";
      const cells = [["x", a], ...shares.map((one, i) => [share(one.lam), mix(one, i)]), ["x′", b]];
      cells.forEach(([words, bytes], column) => {
        const left = margin + column * (side + gap);
        ink.fillText(words, left + side / 2, top - 11);
        paint(scratch, bytes);
        ink.drawImage(scratch, left, top, side, side);
      });
    };
    drawRow(0, "mixup", "λ", mixes, ({ lam }) => mixBytes(a, b, lam));
    drawRow(1, "CutMix", "true λ", boxes, (box) => pasteBytes(a, b, box, width));
    if (third) {
      const shares = third.lams.map((lam) => ({ lam }));
      drawRow(2, third.variant, "λ", shares, (_, i) => third.images.subarray(i * a.length, (i + 1) * a.length));
    }
    const list = (shares) => shares.map((lam) => lam.toFixed(2)).join(", ");
    const [blended, cut] = [mixes, boxes].map((shares) => list(shares.map(({ lam }) => lam)));
    canvas.setAttribute(
      "aria-label",
      `${state.k} mixes in order from ${names[0]} to ${names[1]}: by mixup with λ = ` +
        `${blended}; by CutMix with true λ = ${cut}` +
        (third ? `; by ${third.variant} ${third.lams.length ? `with λ = ${list(third.lams)}` : "none"}` : ""),
    );
  };
  return { node: canvas, draw };
}

/** Let the pointer drag the center of the box over the CutMix image. */
function dragBox(frame, [height, width], onMove, onRelease) {
  const follow = (event) => {
    const { top, left, width: wide, height: tall } = frame.getBoundingClientRect();
    const within = (share, count) => Math.min(Math.max(Math.floor(share * count), 0), count - 1);
    onMove(within((event.clientY - top) / tall, height), within((event.clientX - left) / wide, width));
  };
  frame.addEventListener("pointerdown", (event) => {
    frame.setPointerCapture(event.pointerId);
    follow(event);
  });
  frame.addEventListener("pointermove", (event) => {
    if (frame.hasPointerCapture(event.pointerId)) follow(event);
  });
  frame.addEventListener("lostpointercapture", onRelease);
}

function showPanel({ model, el }) {
  const state = Object.fromEntries(STATE.map((name) => [name, model.get(name)]));
  const size = model.get("_size");
  const [height, width] = size;
  const names = model.get("_names");
  const alone = model.get("_alone"); // no Python, no third row
  const others = alone ? {} : model.get("_others");
  const pixels = bytesOf(model.get("_images"));
  const length = height * width * CHANNELS;
  const image = (side) => pixels.subarray((2 * state.pair + side) * length, (2 * state.pair + side + 1) * length);

  const root = make("div", { class: "mixlab-panel mx-mixing", role: "group", "aria-label": "Two images, one label" });
  const four = tiles(size);
  const row = strip(size, Object.keys(others));
  const words = make("p", { class: "mx-answer" }, alone ? "The notebook has a third row, for the other variants." : "");
  const look = (theme) => {
    const [a, b] = [image(0), image(1)];
    four.draw(a, b, names[state.pair], state);
    const answer = alone ? null : { ...model.get("_answer"), images: bytesOf(model.get("_pictures")) };
    row.draw(theme, a, b, names[state.pair], state, answer);
    if (answer) write(words, answer.words);
  };
  const say = () => {
    const cutting = cutBox(state.lam, height, width, state.row, state.column);
    return (
      `mixup: ${labelWords(state.lam, names[state.pair])}. CutMix: ${labelWords(cutting.lam, names[state.pair])}.` +
      (alone ? "" : ` Third row: ${state.variant}.`)
    );
  };
  const set = (change) => {
    Object.assign(state, change);
    show();
    tell();
    ask();
  };
  const follow = (name) => (value) => set({ [name]: value });
  const release = () => commit();
  const settle = (change) => {
    Object.assign(state, change);
    commit();
  };

  const menu = menuOf(
    names.map(([a, b], i) => [i, `${i + 1}: ${a} and ${b}`]),
    (i) => settle({ pair: Number(i) }),
  );
  const kinds = Object.entries(others).map(([name, meaning]) => [name, name, meaning]);
  const third = menuOf(kinds, (variant) => settle({ variant }));
  const next = make("button", { type: "button" }, "Next pair");
  next.addEventListener("click", () => settle({ pair: (state.pair + 1) % names.length }));
  const again = make("button", { type: "button" }, "Draw λ and boxes");
  again.addEventListener("click", () => {
    const seed = (state.seed + 1) % 2 ** 31;
    settle({ seed, ...drawMixes(state.alpha, seed, height, width)[0] });
  });
  const sliders = {
    lam: slider(
      "λ, share of x",
      { ...PLAIN_SCALE, max: 1, step: 0.01, say: (lam) => lam.toFixed(2) },
      follow("lam"),
      release,
    ),
    alpha: slider("α, on a log scale", ALPHA_SCALE, follow("alpha"), release),
    k: slider("K, mixes of this pair", K_SCALE, follow("k"), release),
    row: slider("Box, down", { ...PLAIN_SCALE, max: height - 1 }, follow("row"), release),
    column: slider("Box, across", { ...PLAIN_SCALE, max: width - 1 }, follow("column"), release),
  };
  dragBox(four.cut.frame, size, (down, across) => set({ row: down, column: across }), release);
  const controls = (...nodes) => make("div", { class: "mx-controls" }, ...nodes);
  root.append(
    controls(field("Pair", menu), next, sliders.lam.node, sliders.row.node, sliders.column.node),
    four.node,
    controls(sliders.alpha.node, sliders.k.node, ...(alone ? [] : [field("Third row", third)]), again),
    row.node,
    words,
  );
  el.append(root);
  const show = () => {
    menu.value = state.pair;
    third.value = state.variant;
    for (const [name, { show: put }] of Object.entries(sliders)) put(state[name]);
  };
  const tell = asker(model, state, ASKS);
  const { ask, commit, takeDown } = connect(model, root, state, { show, draw: look, sentence: say });
  model.on("change:_answer", ask);
  return () => {
    model.off("change:_answer", ask);
    takeDown();
  };
}

export default { render: showPanel };
