// What the panels that train share: the seed, and the buttons of a run.

import { make } from "./dom.js";

const LAST_SEED = 2 ** 31 - 1;

/** Which buttons do something in a phase. */
export function allowed(phase) {
  const active = ["preparing", "training", "paused"].includes(phase);
  return { start: true, pause: active, step: phase !== "training" && phase !== "preparing", stop: active, reset: true };
}

/** A box for a seed; `settle` takes the new one. */
export function seedBox(settle) {
  const box = make("input", { type: "number", min: 0, max: LAST_SEED, step: 1, class: "mx-number" });
  box.addEventListener("change", () => {
    settle({ seed: Math.min(Math.max(Math.round(Number(box.value)) || 0, 0), LAST_SEED) });
  });
  return box;
}

/** The buttons of a run, Step only if asked for. They keep the focus when they cannot be used, so that the keyboard is not thrown off the page. */
export function buttons(send, { stepwise }) {
  const titles = {
    start: ["Start", "Train with these settings; a run at work is replaced"],
    pause: ["Pause", "Pause after this batch"],
    step: ["Step", "Take one batch"],
    stop: ["Stop", "End the run now; what was measured is kept"],
    reset: ["Reset", "Clear both runs from the panel and put the controls back"],
  };
  if (!stepwise) delete titles.step;
  const nodes = Object.fromEntries(
    Object.entries(titles).map(([name, [words, title]]) => [
      name,
      make("button", { type: "button", title, class: `mx-${name}` }, words),
    ]),
  );
  const show = (phase) => {
    nodes.pause.textContent = phase === "paused" ? "Resume" : "Pause";
    for (const [name, can] of Object.entries(allowed(phase))) nodes[name]?.setAttribute("aria-disabled", !can);
  };
  for (const [name, node] of Object.entries(nodes)) {
    node.addEventListener("click", () => {
      if (node.getAttribute("aria-disabled") === "true") return;
      send(node.textContent === "Resume" ? "resume" : name);
    });
  }
  return {
    node: make("div", { class: "mx-buttons", role: "group", "aria-label": "Training" }, ...Object.values(nodes)),
    show,
  };
}
