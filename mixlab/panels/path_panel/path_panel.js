// The path panel: what networks answer on the way from one image to another, from numbers that Python sent once.

import { drawAxes } from "../shared/axes.js";
import { PLAIN_SCALE, connect, field, fitCanvas, legendItem, make, menuOf, slider, write } from "../shared/dom.js";
import { CHANNELS, bytesOf, heading, mixBytes, paint, tile } from "../shared/pictures.js";

const STEPS = 64; // λ stands at multiples of 1/64, as in path_panel.py
const NUMBERS = 4; // at each: P(class of x), P(class of x′), the largest probability, the number of its class
const HEIGHT = 250;
const EDGE = { left: 62, right: 12, top: 10, bottom: 44 };
const TICKS = [0, 0.25, 0.5, 0.75, 1];

/** The numbers of a network at each λ between two of `count` images: [[of x, of x′, top, answer], ...]. */
export function pathOf(numbers, count, network, first, second) {
  const start = ((network * count + first) * count + second) * (STEPS + 1) * NUMBERS;
  return Array.from({ length: STEPS + 1 }, (_, step) =>
    Array.from(numbers.subarray(start + step * NUMBERS, start + (step + 1) * NUMBERS)),
  );
}

/** What a network answers at one λ, in words. */
export function answerWords([ofX, ofXPrime, top, answer], [first, second], classes) {
  const prime = first === second ? "" : ` + ${ofXPrime.toFixed(2)} ${second}`;
  const others = Math.abs(1 - ofX - ofXPrime).toFixed(2);
  return `${ofX.toFixed(2)} ${first}${prime} + ${others} others; it answers ${classes[answer]} (${top.toFixed(2)})`;
}

function plot(canvas, theme, path, state, same) {
  const { context: ink, width } = fitCanvas(canvas, HEIGHT);
  const place = { ...EDGE, right: width - EDGE.right, bottom: HEIGHT - EDGE.bottom };
  const [x, y] = ["λ, the share of x", "probability"].map((name) => ({ ticks: TICKS, name }));
  const { line, band, mark } = drawAxes(ink, theme, place, x, y);
  const edge = (height) => path.map((row, step) => [step / STEPS, height(row)]);
  const ofX = edge(([low]) => low);
  const ofXPrime = edge(([, high]) => 1 - high);
  ink.globalAlpha = 0.35; // pale, so that lines and names stand out
  band(
    ofX.map(([lam, up]) => [lam, 0, up]),
    theme.first,
  );
  band(
    ofXPrime.map(([lam, up]) => [lam, up, 1]),
    theme.second,
  );
  ink.globalAlpha = 1;
  line(ofX, theme.first, 2.5);
  if (!same) line(ofXPrime, theme.second, 2.5);
  const ends = [same ? 1 : 0, 1].map((up, lam) => [lam, up]);
  line(ends, theme.ink, 1.5, [6, 4]);
  const upright = [0, 1].map((up) => [state.lam, up]);
  line(upright, theme.ink, 1.5);
  const step = Math.round(STEPS * state.lam);
  mark(...ofX[step], theme.first);
  if (!same) mark(...ofXPrime[step], theme.second, true);
}

function showPanel({ model, el }) {
  const state = { first: model.get("first"), second: model.get("second"), lam: model.get("lam") };
  const [height, width] = model.get("_size");
  const labels = model.get("_labels");
  const classes = model.get("_classes");
  const pixels = bytesOf(model.get("_images"));
  const sent = bytesOf(model.get("_paths"));
  const numbers = new Float32Array(sent.slice().buffer);
  const length = height * width * CHANNELS;
  const image = (i) => pixels.subarray(i * length, (i + 1) * length);
  const pair = () => [labels[state.first], labels[state.second]];
  const pathFor = (network) => pathOf(numbers, labels.length, network, state.first, state.second);
  const here = (network) => answerWords(pathFor(network)[Math.round(STEPS * state.lam)], pair(), classes);

  const root = make("div", { class: "mixlab-panel mx-path", role: "group", "aria-label": "From one image to another" });
  const settle = (change) => {
    Object.assign(state, change);
    commit();
  };
  // An image cannot be both ends of the way: choosing the other end swaps the two.
  const choose = (side, other) => (value) => {
    const i = Number(value);
    settle({ [side]: i, ...(i === state[other] && { [other]: state[side] }) });
  };
  const options = labels.map((label, i) => [i, `${i + 1}: ${label}`]);
  const menus = {
    second: menuOf(options, choose("second", "first")),
    first: menuOf(options, choose("first", "second")),
  };
  const share = slider(
    "λ, share of x",
    { ...PLAIN_SCALE, max: 1, step: 1 / STEPS, say: (lam) => lam.toFixed(2) },
    (lam) => {
      state.lam = lam;
      ask();
    },
    () => commit(),
  );
  const [nameX, nameBlend, nameXPrime] = Array.from({ length: 3 }, () => make("span"));
  const tiles = [
    tile(heading("second", nameXPrime), [height, width]),
    tile(heading("none", nameBlend), [height, width]),
    tile(heading("first", nameX), [height, width]),
  ];
  const charts = model.get("_networks").map((name) => {
    const canvas = make("canvas", { role: "img", class: "mx-plot" });
    const words = make("p", { class: "mx-said", "aria-hidden": "true" });
    return { name, canvas, words, node: make("div", { class: "mx-chart" }, make("strong", {}, name), canvas, words) };
  });
  const legend = make(
    "p",
    { class: "mx-legend" },
    legendItem("line", "class of x, from below"),
    legendItem("line mx-of-prime", "class of x′, from above"),
    make("span", {}, "between them: all other classes"),
    make("span", {}, "dashed: what mixup asks for"),
  );
  root.append(
    make(
      "div",
      { class: "mx-controls" },
      field("x′, at λ = 0", menus.second),
      share.node,
      field("x, at λ = 1", menus.first),
    ),
    make("div", { class: "mx-tiles" }, ...tiles.map(({ node }) => node)),
    legend,
    make("div", { class: "mx-charts" }, ...charts.map(({ node }) => node)),
  );
  el.append(root);

  const sentence = () => charts.map(({ name }, i) => `${name}: ${here(i)}.`).join(" ");
  const show = () => {
    for (const side of ["first", "second"]) menus[side].value = state[side];
    share.show(state.lam);
  };
  const draw = (theme) => {
    const [first, second] = pair();
    const [x, xPrime] = [image(state.first), image(state.second)];
    const pictures = [xPrime, mixBytes(x, xPrime, state.lam), x];
    const names = [`x′: ${second}`, `λ = ${state.lam.toFixed(2)}`, `x: ${first}`];
    const spans = [nameXPrime, nameBlend, nameX];
    tiles.forEach(({ canvas }, i) => {
      paint(canvas, pictures[i]);
      write(spans[i], names[i]);
      canvas.setAttribute("aria-label", i === 1 ? `the blend, ${names[i]}` : names[i]);
    });
    charts.forEach(({ canvas, words, name }, i) => {
      plot(canvas, theme, pathFor(i), state, first === second);
      write(words, here(i));
      canvas.setAttribute("aria-label", `${name} against λ; at λ = ${state.lam.toFixed(2)}: ${here(i)}`);
    });
  };
  const { ask, commit, takeDown } = connect(model, root, state, { show, draw, sentence });
  return takeDown;
}

export default { render: showPanel };
