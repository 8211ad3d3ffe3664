// The puzzle panel: what Python solves for the sliders' state, taken apart in pictures.

import { PLAIN_SCALE, asker, connect, field, fitCanvas, make, menuOf, slider, write } from "../shared/dom.js";
import { bytesOf, heading, heatBytes, labelWords, paint, shadeOf, softLabel, tile } from "../shared/pictures.js";

const STATE = ["pair", "lam", "beta", "gamma", "eta", "blocks", "levels", "transport", "cost"];
const COLUMNS = 8; // results in a row
const LEGIBLE = 8; // blocks a side in which numbers still fit
const DARK = 0.8; // the share of x from which a block is too dark for black numbers

const shareWords = (share) => String(Number(share.toFixed(2)));

/** The mask on its canvas: shades, the grid, and numbers where they fit. */
function drawMask(canvas, shares, shades) {
  const count = Math.round(Math.sqrt(shares.length));
  const { context: ink, width } = fitCanvas(canvas, canvas.clientWidth);
  const side = width / count;
  ink.font = `${Math.min(16, Math.round(side / 2.3))}px system-ui, sans-serif`;
  ink.textAlign = "center";
  ink.textBaseline = "middle";
  ink.strokeStyle = "dimgray";
  shares.forEach((share, i) => {
    const [left, top] = [(i % count) * side, Math.floor(i / count) * side];
    ink.fillStyle = `rgb(${shadeOf(shades, share).join(" ")})`;
    ink.fillRect(left, top, side, side);
    ink.strokeRect(left, top, side, side);
    ink.fillStyle = share > DARK ? "#fff" : "#000";
    if (count <= LEGIBLE) ink.fillText(shareWords(share), left + side / 2, top + side / 2);
  });
}

function maskWords(shares) {
  const count = Math.round(Math.sqrt(shares.length));
  const rows = Array.from({ length: count }, (_, i) =>
    shares
      .slice(i * count, (i + 1) * count)
      .map(shareWords)
      .join(" "),
  );
  return `the mask, ${count} by ${count} blocks; the share of x, row by row: ${rows.join("; ")}`;
}

/** A scale in words and colors, for below a tile. */
const legend = (low, scale, high) =>
  make(
    "div",
    { class: "mx-scale" },
    low,
    make("i", { style: `background: linear-gradient(90deg, ${scale.join(", ")})`, "aria-hidden": "true" }),
    high,
  );

/** The way from both images to the result, in eight tiles. */
function steps(size, shades, heat) {
  const [firstName, secondName, firstGives, secondGives] = Array.from({ length: 4 }, () => make("span"));
  const label = softLabel();
  const [firstGrid, secondGrid] = [make("div", { class: "mx-scale" }), make("div", { class: "mx-scale" })];
  const all = {
    first: tile(heading("first", firstName), size),
    firstHeat: tile(heading("none", "saliency of x"), size, legend("none", heat, "most")),
    second: tile(heading("second", secondName), size),
    secondHeat: tile(heading("none", "saliency of x′"), size, legend("none", heat, "most")),
    mask: tile(heading("none", "mask: share of x"), size, legend("0: x′", shades, "1: x")),
    firstHalf: tile(heading("first", firstGives), size, firstGrid),
    secondHalf: tile(heading("second", secondGives), size, secondGrid),
    result: tile(heading("none", "their sum"), size, ...label.nodes),
  };
  const draw = ({ names, images, heats, halves, result, mask, moved, movable, lam }) => {
    const put = (name, bytes, words) => {
      paint(all[name].canvas, bytes);
      all[name].canvas.setAttribute("aria-label", words);
    };
    firstName.textContent = `x: ${names[0]}`;
    secondName.textContent = `x′: ${names[1]}`;
    put("first", images[0], `x, an image of class ${names[0]}`);
    put("second", images[1], `x′, an image of class ${names[1]}`);
    put("firstHeat", heats[0], "saliency of x, a heat map");
    put("secondHeat", heats[1], "saliency of x′, a heat map");
    firstGives.textContent = `what x gives, ${moved[0]} moved`;
    secondGives.textContent = `what x′ gives, ${moved[1]} moved`;
    const pixels = Math.round(size[0] / Math.sqrt(movable));
    const grid = movable ? `of ${movable} blocks (${pixels} × ${pixels} pixels)` : "";
    for (const node of [firstGrid, secondGrid]) node.textContent = grid || "all blocks stay";
    put("firstHalf", halves[0], `x, ${moved[0]} ${grid || "blocks"} moved, black where the mask shows x′`);
    put("secondHalf", halves[1], `x′, ${moved[1]} ${grid || "blocks"} moved, black where the mask shows x`);
    put("result", result, `the mix: ${labelWords(lam, names)}`);
    drawMask(all.mask.canvas, mask, shades);
    all.mask.canvas.setAttribute("aria-label", maskWords(mask));
    label.show(lam, names);
  };
  return { node: make("div", { class: "mx-tiles" }, ...Object.values(all).map(({ node }) => node)), draw };
}

/** The same pair under the same λ: exact, by swap, and plain CutMix. */
function rivals(size) {
  const each = ["exact mask", "α–β swap", "CutMix"].map((name) => {
    const [title, words] = [make("span", {}, name), make("span", { class: "mx-soft" })];
    return { title, words, ...tile(heading("none", title), size, words) };
  });
  const compared = make("p", { class: "mx-compared" });
  const draw = ({ names, shown, said, proved }) => {
    each[0].title.textContent = proved ? "exact mask" : "our mask";
    each.forEach(({ canvas, title, words }, i) => {
      const { bytes, lam, note } = shown[i];
      paint(canvas, bytes);
      words.textContent = `${labelWords(lam, names)}${note}`;
      canvas.setAttribute("aria-label", `${title.textContent}: ${words.textContent}`);
    });
    write(compared, said);
  };
  return { node: make("div", { class: "mx-rivals" }, ...each.map(({ node }) => node), compared), draw };
}

/** The results of all pairs, each with x's share of the label; the pair on show has a frame. */
function results([height, width]) {
  const canvas = make("canvas", { role: "img", class: "mx-plot" });
  const scratch = make("canvas", { width, height });
  const draw = (theme, pictures, lams, pair) => {
    const side = Math.min(Math.floor(canvas.clientWidth / COLUMNS) - 12, 96);
    const { context: ink } = fitCanvas(canvas, Math.ceil(lams.length / COLUMNS) * (side + 34));
    ink.imageSmoothingEnabled = false;
    ink.font = "13px system-ui, sans-serif";
    ink.textAlign = "center";
    lams.forEach((lam, i) => {
      const [left, top] = [4 + (i % COLUMNS) * (side + 12), 4 + Math.floor(i / COLUMNS) * (side + 34)];
      paint(scratch, pictures[i]);
      ink.drawImage(scratch, left, top, side, side);
      ink.fillStyle = theme.ink;
      ink.fillText(`label ${lam.toFixed(2)}`, left + side / 2, top + side + 17);
      ink.strokeStyle = theme.first;
      ink.lineWidth = 4;
      if (i === pair) ink.strokeRect(left - 1, top - 1, side + 2, side + 2);
    });
    canvas.setAttribute(
      "aria-label",
      `The mixes of all ${lams.length} pairs under these settings; x's share of the labels: ` +
        lams.map((lam) => lam.toFixed(2)).join(", "),
    );
  };
  return { node: canvas, draw };
}

/** The controls other than the pair; `follow` hears each move and `release` its end. */
function controlsOf(limits, choices, follow, release) {
  const plain = { ...PLAIN_SCALE, step: 0.05, say: (value) => String(Number(value.toFixed(2))) };
  const places = {
    min: 0,
    max: choices.length - 1,
    step: 1,
    say: String,
    toValue: (i) => choices[i],
    toPosition: (b) => choices.indexOf(b),
  };
  return {
    lam: slider("λ, nominal", { ...plain, max: 1, step: 0.01, say: (lam) => lam.toFixed(2) }, follow("lam"), release),
    blocks: slider("b, blocks a side", places, follow("blocks"), release),
    levels: slider("Levels", { ...plain, min: 2, max: 4, step: 1 }, follow("levels"), release),
    beta: slider("β, smoothness", { ...plain, max: limits.beta }, follow("beta"), release),
    gamma: slider("γ, seams", { ...plain, max: limits.gamma }, follow("gamma"), release),
    eta: slider("η, prior", { ...plain, max: limits.eta }, follow("eta"), release),
    cost: slider("Cost of moving", { ...plain, max: limits.cost, step: 0.01 }, follow("cost"), release),
  };
}

function showPanel({ model, el }) {
  const state = Object.fromEntries(STATE.map((name) => [name, model.get(name)]));
  const size = model.get("_size");
  const [names, whose] = [model.get("_names"), model.get("_whose")];
  const cut = (bytes, length) =>
    Array.from({ length: bytes.length / length }, (_, i) => bytes.subarray(i * length, (i + 1) * length));
  const pixels = size[0] * size[1];
  const images = cut(bytesOf(model.get("_images")), 3 * pixels);
  const heat = model.get("_heat");
  const heats = cut(bytesOf(model.get("_seen")), pixels).map((values) => heatBytes(heat, values));

  const root = make("div", { class: "mixlab-panel mx-puzzle", role: "group", "aria-label": "Puzzle Mix, taken apart" });
  const [eight, three, all] = [steps(size, model.get("_shades"), heat), rivals(size), results(size)];
  const note = make("p", { class: "mx-answer" });
  const news = make("p", { class: "mx-hidden", role: "status" });
  const look = (theme) => {
    const answer = model.get("_answer");
    const { pair } = answer.wanted;
    const pictures = cut(bytesOf(model.get("_pictures")), 3 * pixels);
    const own = names[pair];
    const lam = answer.exact.lam;
    const mixes = pictures.slice(-names.length);
    const both = (list) => [list[2 * pair], list[2 * pair + 1]];
    const shown = { names: own, images: both(images), heats: both(heats), halves: pictures, result: mixes[pair] };
    eight.draw({ ...shown, mask: answer.mask, moved: answer.moved, movable: answer.movable, lam });
    const energy = (one) => `; energy ${one.energy.toFixed(4)}`;
    three.draw({
      names: own,
      said: answer.compared,
      proved: answer.proved,
      shown: [
        { bytes: mixes[pair], lam, note: energy(answer.exact) },
        { bytes: pictures[3], lam: answer.swap.lam, note: energy(answer.swap) },
        { bytes: pictures[2], lam: answer.cutmix, note: answer.clipped ? "; box clipped at the edge" : "" },
      ],
    });
    all.draw(theme, mixes, answer.lams, pair);
    note.textContent =
      `All ${names.length} pairs under these settings, solved in ${answer.milliseconds.toFixed(0)} ms ` +
      `by Python; ${whose}.`;
    // Said aloud only when it answers what was released, not at each point of a drag.
    const said = `The label is ${labelWords(lam, own)}. ${answer.compared}`;
    if (STATE.every((name) => model.get(name) === answer.wanted[name])) write(news, said);
  };

  const set = (change) => {
    Object.assign(state, change);
    show();
    tell();
    ask();
  };
  const settle = (change) => {
    Object.assign(state, change);
    commit();
  };
  const sliders = controlsOf(
    model.get("_limits"),
    model.get("_choices"),
    (name) => (value) => set({ [name]: value }),
    () => commit(),
  );
  const menu = menuOf(
    names.map(([a, b], i) => [i, `${i + 1}: ${a} and ${b}`]),
    (i) => settle({ pair: Number(i) }),
  );
  const next = make("button", { type: "button" }, "Next pair");
  next.addEventListener("click", () => settle({ pair: (state.pair + 1) % names.length }));
  const moving = make("input", { type: "checkbox" });
  moving.addEventListener("change", () => settle({ transport: moving.checked }));
  const controls = (...nodes) => make("div", { class: "mx-controls" }, ...nodes);
  root.append(
    controls(field("Pair", menu), next, sliders.lam.node, sliders.blocks.node, sliders.levels.node),
    controls(
      ...["beta", "gamma", "eta"].map((name) => sliders[name].node),
      field("Move blocks", moving),
      sliders.cost.node,
    ),
    eight.node,
    three.node,
    note,
    all.node,
    news,
  );
  el.append(root);
  const show = () => {
    menu.value = state.pair;
    moving.checked = state.transport;
    sliders.cost.range.disabled = !state.transport;
    for (const [name, { show: put }] of Object.entries(sliders)) put(state[name]);
  };
  const sentence = () =>
    `Puzzle Mix at λ = ${state.lam.toFixed(2)}, β = ${state.beta}, γ = ${state.gamma}, η = ${state.eta}, ` +
    `${state.blocks} by ${state.blocks} blocks, ${state.levels} levels, blocks ${state.transport ? "moved" : "not moved"}.`;
  const tell = asker(model, state, STATE);
  const { ask, commit, takeDown } = connect(model, root, state, { show, draw: look, sentence });
  model.on("change:_answer", ask);
  return () => {
    model.off("change:_answer", ask);
    takeDown();
  };
}

export default { render: showPanel };
