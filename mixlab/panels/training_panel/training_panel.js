// The training panel: controls that stay alive while Python trains, and what Python says of the run, some times a second.

import { ALPHA_SCALE, K_SCALE, PLAIN_SCALE, field, make, menuOf, slider, write } from "../shared/dom.js";
import { showRunPanel } from "../shared/running.js";
import { charts, share } from "./charts.js";
import { showReplay } from "./replay.js";

const PANEL = {
  names: ["variant", "alpha", "k", "images", "epochs", "seed", "prediction"],
  kind: "mx-live",
  label: "Train it live",
  stepwise: true,
};

/** The stops of a log slider of counts from `low` to `high`: of two digits, both ends, and the count it begins at. */
export function stopsOf([low, high], first) {
  const most = Math.ceil(40 * Math.log10(high));
  const round = Array.from({ length: most }, (_, i) => Number((10 ** (i / 40)).toPrecision(2)));
  const stops = [low, first, high, ...round.filter((count) => count > low && count < high)];
  return [...new Set(stops.map(Math.round))].sort((one, other) => one - other);
}

/** The scale of a slider whose every key step is another of these ascending numbers. */
export function scaleOf(stops, say) {
  const toPosition = (value) =>
    Math.max(
      stops.findLastIndex((stop) => stop <= value),
      0,
    );
  return { min: 0, max: stops.length - 1, step: 1, say, toPosition, toValue: (position) => stops[position] };
}

const count = (value) => value.toLocaleString("en");

/** A slider of the panel; its release is the panel's. */
function sliders(limits, { images }, follow, release) {
  const [low, high] = limits.epochs;
  return {
    alpha: slider("α, log scale", ALPHA_SCALE, follow("alpha"), release),
    k: slider("K, mixes a pair", K_SCALE, follow("k"), release),
    images: slider("Images", scaleOf(stopsOf(limits.images, images), count), follow("images"), release),
    epochs: slider("Epochs", { ...PLAIN_SCALE, min: low, max: high }, follow("epochs"), release),
    prediction: slider(
      "Predicted accuracy",
      { ...PLAIN_SCALE, max: 1, step: 0.01, say: share, toPosition: (value) => value ?? 0.5 },
      follow("prediction"),
      release,
    ),
  };
}

function build({ model, state, follow, release, settle, seed }) {
  const bars = sliders(model.get("_limits"), state, follow, release);
  const variants = Object.entries(model.get("_variants")).map(([name, meaning]) => [name, name, meaning]);
  const menu = menuOf(variants, (variant) => settle({ variant }));
  const news = make("p", { class: "mx-hidden", role: "status" });
  const verdict = make("p", { class: "mx-verdict" });
  const picked = make("p", { class: "mx-picked" });
  const four = charts();

  const draw = (view, theme) => {
    write(verdict, view.verdict);
    write(picked, view.picked);
    write(news, view.news);
    four.draw(view, theme, state);
  };
  const show = () => {
    for (const [name, { show: put }] of Object.entries(bars)) put(state[name]);
    menu.value = state.variant;
    bars.alpha.range.disabled = bars.k.range.disabled = state.variant === "none";
  };
  const mixing = () =>
    state.variant === "none" ? "no mixing" : `${state.variant}, α = ${ALPHA_SCALE.say(state.alpha)}, K = ${state.k}`;
  const sentence = () =>
    `For the next start: ${mixing()}, ` +
    `${count(state.images)} images, ${state.epochs} epochs, seed ${state.seed}, prediction ${share(state.prediction)}.`;
  const rows = [
    { variant: field("Variant", menu), alpha: bars.alpha.node, k: bars.k.node },
    { images: bars.images.node, epochs: bars.epochs.node, seed, prediction: bars.prediction.node },
  ];
  return { rows, below: [verdict, ...four.nodes, picked, news], show, draw, sentence };
}

export default {
  render: (context) => (context.model.get("_alone") ? showReplay(context) : showRunPanel(context, PANEL, build)),
};
