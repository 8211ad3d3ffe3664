// The eyes panel: how much of each image do you see in a blend? The answers, against λ, are shown when all are given.

import { drawAxes } from "../shared/axes.js";
import { PLAIN_SCALE, connect, fitCanvas, legendItem, make, slider, write } from "../shared/dom.js";
import { CHANNELS, bytesOf, paint } from "../shared/pictures.js";
import { FEWEST, describe, fitLogOdds } from "./log_odds.js";

const HEIGHT = 330;
const EDGE = { left: 62, right: 12, top: 10, bottom: 44 };
const TICKS = [0, 0.25, 0.5, 0.75, 1];

/** The answers after one more in percent. */
export const answered = (answers, percent) => [...answers, percent / 100];

function plot(canvas, theme, curve, dots) {
  const { context: ink, width: wide } = fitCanvas(canvas, HEIGHT);
  const side = Math.min(wide - EDGE.left - EDGE.right, HEIGHT - EDGE.top - EDGE.bottom);
  const place = { left: EDGE.left, right: EDGE.left + side, top: EDGE.top, bottom: EDGE.top + side };
  const [x, y] = ["λ, the share of x", "the share of x you saw"].map((name) => ({ ticks: TICKS, name }));
  const { line, band, mark } = drawAxes(ink, theme, place, x, y);
  band(
    curve.map(([lam, low, , high]) => [lam, low, high]),
    theme.bars,
  );
  line(
    curve.map(([lam, , middle]) => [lam, middle]),
    theme.first,
    2.5,
  );
  line(
    [
      [0, 0],
      [1, 1],
    ],
    theme.ink,
    1.2,
    [6, 4],
  );
  for (const [lam, seen] of dots) mark(lam, seen, theme.second);
}

function showPanel({ model, el }) {
  const state = { answers: model.get("answers") };
  const [height, width] = model.get("_size");
  const names = model.get("_names");
  const [lams, student] = [model.get("_lam"), model.get("_student")];
  const pixels = bytesOf(model.get("_images"));
  const length = height * width * CHANNELS;
  const all = names.length;
  let percent = 50; // where the slider stands
  let looking = false; // whether the answers are shown before all are given

  const done = () => state.answers.length === all;
  const seen = () => done() || (looking && state.answers.length >= FEWEST);
  const root = make("div", { class: "mixlab-panel mx-eyes", role: "group", "aria-label": "Your own eyes" });
  const heading = make("strong");
  const image = make("canvas", { class: "mx-look", role: "img", width, height, "aria-label": "the blend to look at" });
  const [question, first, second] = [make("span"), make("span"), make("span")];
  const say = (value) => {
    const [a, b] = names[Math.min(state.answers.length, all - 1)];
    return `${value}% ${a}, ${100 - value}% ${b}`;
  };
  const share = slider(
    question,
    { ...PLAIN_SCALE, min: 1, max: 99, say },
    (value) => (percent = value),
    () => {},
  );
  const answer = make("button", { type: "button" }, "Answer");
  const back = make("button", { type: "button" }, "Back");
  const look = make("button", { type: "button" }, "Show my answers");
  const again = make("button", { type: "button" }, "Start again");
  const canvas = make("canvas", { role: "img", class: "mx-plot" });
  const words = make("p", { class: "mx-words", "aria-hidden": "true" });
  const legend = make(
    "p",
    { class: "mx-legend" },
    legendItem("dot", "your answers"),
    legendItem("line", "fitted curve"),
    legendItem("bar", "its 95% interval"),
    make("span", {}, "dashed: what mixup assumes"),
  );
  const ends = make("div", { class: "mx-ends", "aria-hidden": "true" }, second, first);
  const controls = make("div", {}, share.node, ends, make("div", { class: "mx-buttons" }, answer, back));
  const ask = make("div", { class: "mx-ask" }, heading, image, controls);
  const found = make("div", { class: "mx-found" }, legend, canvas, words);
  const buttons = make("div", { class: "mx-buttons" }, look, again);
  root.append(make("div", { class: "mx-two" }, ask, found), buttons);
  el.append(root);

  const fit = () => fitLogOdds(lams, state.answers, student);
  const sentence = () => {
    if (done()) return `All ${all} answers are given. ${describe(lams, state.answers, fit())}`;
    const [a, b] = names[state.answers.length];
    return `Picture ${state.answers.length + 1} of ${all}: how much ${a}, how much ${b}?`;
  };
  const show = () => {
    const given = state.answers.length;
    const at = Math.min(given, all - 1);
    const [a, b] = names[at];
    write(heading, done() ? `All ${all} answers are given` : `Picture ${given + 1} of ${all}`);
    write(question, `How much ${a}?`);
    write(first, `${a} →`);
    write(second, `← ${b}`);
    paint(image, pixels.subarray(at * length, (at + 1) * length));
    share.show(percent);
    share.range.disabled = done();
    answer.setAttribute("aria-disabled", done());
    back.setAttribute("aria-disabled", given === 0);
    again.setAttribute("aria-disabled", given === 0);
    look.setAttribute("aria-disabled", given < FEWEST || done());
    write(look, looking && !done() ? "Hide my answers" : "Show my answers");
  };
  const draw = (theme) => {
    const line = seen() ? fit() : null;
    const dots = line ? state.answers.map((answer, i) => [lams[i], answer]) : [];
    plot(canvas, theme, line?.curve ?? [], dots);
    const left = all - state.answers.length;
    const said = line
      ? describe(lams, state.answers, line)
      : `Your answers appear here, beside mixup's assumption, after ${left} more.`;
    write(words, said);
    canvas.setAttribute("aria-label", `What you saw against λ. ${said}`);
  };
  const settle = (answers) => {
    state.answers = answers;
    percent = 50;
    commit();
  };
  const enabled = (button, act) =>
    button.addEventListener("click", () => {
      if (button.getAttribute("aria-disabled") !== "true") act();
    });
  const give = () => settle(answered(state.answers, percent));
  enabled(answer, give);
  share.range.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.ctrlKey && !done()) give();
  });
  enabled(back, () => settle(state.answers.slice(0, -1)));
  enabled(again, () => settle([]));
  enabled(look, () => {
    looking = !looking;
    show();
    drawSoon();
  });
  const { ask: drawSoon, commit, takeDown } = connect(model, root, state, { show, draw, sentence });
  return takeDown;
}

export default { render: showPanel };
