// The robustness panel: an image gets worse on a slider; what two networks answer, and their accuracy and ECE by level.

import { drawAxes } from "../shared/axes.js";
import { PLAIN_SCALE, connect, field, fitCanvas, legendItem, make, menuOf, slider, write } from "../shared/dom.js";
import { CHANNELS, bytesOf, heading, paint } from "../shared/pictures.js";

const HEIGHT = 230;
const EDGE = { left: 58, right: 10, top: 10, bottom: 46 };
const LEVELS = [0, 1, 2, 3, 4, 5];
const SHARES = [0, 0.25, 0.5, 0.75, 1];
const COLORS = ["first", "second"];
const CURVES = ["accuracy", "ECE"];

const percent = (share) => `${Math.round(100 * share)}%`;

/** What a network says of an image, in words; `label` is the true class. */
export function sentence([said, sure], label) {
  return `says ${said}, ${percent(sure)} sure: ${said === label ? "right" : `wrong, it is ${label}`}`;
}

/** Where the pixels of a picture begin, in bytes: pictures lie by network, level and image. */
export const startOf = (network, level, image, images, length) =>
  ((network * LEVELS.length + level) * images + image) * length;

/** One network: the picture that it sees, its answer, its confidence and the probability of the true class. */
function networkTile(name, color, [height, width]) {
  const canvas = make("canvas", { class: "mx-look", role: "img", width, height });
  const says = make("strong", { class: "mx-says" });
  const bars = ["answer", "true class"].map((words) => {
    const [part, value] = [make("span", { class: `mx-${color}` }), make("span")];
    const track = make("div", { class: "mx-track", "aria-hidden": "true" }, part);
    return { part, value, node: make("div", { class: "mx-sure" }, make("span", {}, words), track, value) };
  });
  const node = make(
    "div",
    { class: "mx-net" },
    heading(color, make("strong", {}, name)),
    canvas,
    says,
    ...bars.map((bar) => bar.node),
  );
  const show = (bytes, answer, label) => {
    paint(canvas, bytes);
    canvas.setAttribute("aria-label", `what ${name} sees`);
    write(says, sentence(answer, label));
    bars.forEach(({ part, value }, i) => {
      part.style.width = percent(answer[i + 1]);
      write(value, percent(answer[i + 1]));
    });
  };
  return { node, show };
}

/** A curve of each network over the levels, with its intervals; a dashed line marks the level. */
function drawCurves(canvas, theme, curves, name, level) {
  const { context: ink, width } = fitCanvas(canvas, HEIGHT);
  const place = { left: EDGE.left, right: width - EDGE.right, top: EDGE.top, bottom: HEIGHT - EDGE.bottom };
  const { line, mark } = drawAxes(ink, theme, place, { ticks: LEVELS, name: "level" }, { ticks: SHARES, name });
  const ends = SHARES.map((share) => [level, share]);
  line(ends, theme.faint, 1.5, [6, 4]);
  curves.forEach((points, network) => {
    const color = theme[COLORS[network]];
    const at = (i) => Math.min(Math.max(i + (network ? 0.06 : -0.06), 0), LEVELS.at(-1));
    line(
      points.map(([value], i) => [at(i), value]),
      color,
      2,
      network ? [7, 4] : [],
    );
    points.forEach(([value, low, high], i) => {
      line(
        [low, high].map((end) => [at(i), end]),
        color,
        2,
      );
      mark(at(i), value, color, Boolean(network));
    });
  });
}

function showPanel({ model, el }) {
  const state = { kind: model.get("kind"), level: model.get("level"), image: model.get("image") };
  const [kinds, names, labels, size] = ["_kinds", "_names", "_labels", "_size"].map((name) => model.get(name));
  const alone = model.get("_alone");
  const length = size[0] * size[1] * CHANNELS;
  const answer = () => model.get("_answer");
  const fresh = () => answer().wanted.kind === state.kind;

  const root = make("div", { class: "mixlab-panel mx-robustness", role: "group", "aria-label": "Robustness" });
  const tiles = names.map((name, i) => networkTile(name, COLORS[i], size));
  const canvases = CURVES.map(() => make("canvas", { class: "mx-plot", role: "img" }));
  const words = make("p", { class: "mx-words", "aria-hidden": "true" });
  const legend = make(
    "p",
    { class: "mx-legend" },
    legendItem("first", `${names[0]}: line, dots`),
    legendItem("second", `${names[1]}: dashed, squares`),
    make("span", {}, "bars: 95% intervals for the choice of images"),
  );

  const answersNow = () => names.map((_, network) => answer().answers[network][state.level][state.image]);
  const sentences = () => {
    if (!fresh()) return `Python measures both networks under ${kinds[state.kind][0]} …`;
    const { count, curves } = answer();
    const digits = ([value, low, high]) => `${value.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;
    const each = names.map((name, network) => {
      const [accuracy, ece] = curves[network].map((curve) => digits(curve[state.level]));
      return `${name}: accuracy ${accuracy}, ECE ${ece}`;
    });
    return `Level ${state.level}, ${answer().levels[state.level]}, over ${count} images. ${each.join("; ")}.`;
  };
  const spoken = () => {
    if (!fresh()) return sentences();
    const said = answersNow().map((one, i) => `${names[i]} ${sentence(one, labels[state.image])}`);
    return `${said.join(". ")}. ${sentences()}`;
  };
  const settle = (change) => {
    Object.assign(state, change);
    commit();
  };
  const follow = (name) => (value) => {
    state[name] = value;
    ask();
  };
  const shown = Object.entries(kinds).filter(([kind]) => !alone || kind === state.kind);
  const menu = menuOf(
    shown.map(([kind, [name, about]]) => [kind, name, about]),
    (kind) => settle({ kind }),
  );
  const say = (level) => answer().levels[level];
  const level = slider("How bad", { ...PLAIN_SCALE, max: LEVELS.at(-1), say }, follow("level"), () => commit());
  const image = slider(
    "Test image",
    { ...PLAIN_SCALE, max: labels.length - 1, say: (i) => `${i + 1}: ${labels[i]}` },
    follow("image"),
    () => commit(),
  );
  root.append(
    make("div", { class: "mx-controls" }, field("Kind", menu), level.node, image.node),
    make("div", { class: "mx-two" }, ...tiles.map((tile) => tile.node)),
    legend,
    make("div", { class: "mx-two mx-curves" }, ...canvases),
    words,
  );
  if (alone) root.append(make("p", {}, "Other kinds are calculated in the notebook."));
  el.append(root);

  const show = () => {
    menu.value = state.kind;
    level.show(state.level);
    image.show(state.image);
  };
  const draw = (theme) => {
    root.dataset.stale = !fresh();
    const pixels = bytesOf(model.get("_pictures"));
    const { answers, curves } = answer();
    tiles.forEach((tile, network) => {
      const start = startOf(network, state.level, state.image, labels.length, length);
      const said = answers[network][state.level][state.image];
      tile.show(pixels.subarray(start, start + length), said, labels[state.image]);
    });
    canvases.forEach((canvas, i) => {
      const both = curves.map((of) => of[i]);
      drawCurves(canvas, theme, both, CURVES[i], state.level);
      canvas.setAttribute("aria-label", `${CURVES[i]} by level. ${sentences()}`);
    });
    write(words, sentences());
  };
  const { ask, commit, takeDown } = connect(model, root, state, { show, draw, sentence: spoken });
  const hear = () => {
    show();
    ask();
  };
  model.on("change:_answer", hear);
  return () => {
    model.off("change:_answer", hear);
    takeDown();
  };
}

export default { render: showPanel };
