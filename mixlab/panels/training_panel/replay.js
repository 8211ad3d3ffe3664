// The training panel where there is no kernel: a recorded training, an epoch at a time.

import { PLAIN_SCALE, connect, make, slider } from "../shared/dom.js";
import { charts } from "./charts.js";

const MOMENT = 250; // milliseconds an epoch while it plays
const WORDS =
  "Recorded: these runs were trained when the page was made. Say what you expect, then press Play, or move the epoch. " +
  "To train with settings of your own, open the lesson in JupyterLab.";

/** What the panel showed once `epoch` was done; `recorded` has a reliability diagram for each evaluation of each run. */
export function viewAt({ runs }, recorded, epoch) {
  const until = (points) => points.filter(([at]) => at <= epoch);
  return {
    runs: runs.map((run, i) => {
      const accuracy = until(run.accuracy);
      return { ...run, accuracy, loss: until(run.loss), diagram: recorded[i][accuracy.length - 1] };
    }),
  };
}

/** Show the recorded runs of a panel, with a slider for the epoch. */
export function showReplay({ model, el }) {
  const [view, recorded] = [model.get("_view"), model.get("_recorded")];
  const last = Math.max(...view.runs.map((run) => run.epochs));
  const state = { epoch: 0 };
  let timer = 0;
  const play = make("button", { type: "button" });
  const four = charts();
  const draw = (theme) =>
    four.draw(viewAt(view, recorded, state.epoch), theme, { prediction: view.runs[0].prediction, epochs: last });
  const show = () => {
    epoch.show(state.epoch);
    play.textContent = timer ? "Pause" : "Play";
  };
  const pause = () => {
    clearInterval(timer);
    timer = 0;
    show();
  };
  const go = (to) => {
    state.epoch = to;
    show();
    ask();
    if (timer && to === last) pause();
  };
  const epoch = slider(
    "Epoch",
    { ...PLAIN_SCALE, max: last },
    (to) => {
      pause();
      go(to);
    },
    () => commit(),
  );
  play.addEventListener("click", () => {
    if (timer) {
      pause();
      return;
    }
    if (state.epoch === last) state.epoch = 0;
    timer = setInterval(() => go(state.epoch + 1), MOMENT);
    show();
    ask();
  });
  const root = make(
    "div",
    { class: "mixlab-panel mx-training mx-live", role: "group", "aria-label": "A recorded training" },
    make("p", { class: "mx-status" }, WORDS),
    make("div", { class: "mx-controls" }, epoch.node, make("div", { class: "mx-buttons" }, play)),
    ...four.nodes,
  );
  el.append(root);
  const sentence = () => `After epoch ${state.epoch}.`;
  const { ask, commit, takeDown } = connect(model, root, state, { show, draw, sentence });
  return () => {
    clearInterval(timer);
    takeDown();
  };
}
