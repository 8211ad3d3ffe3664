// What the panels that train share: the seed, the buttons of a run, and the line that says where it stands.

import { connect, field, make, write } from "./dom.js";

const LAST_SEED = 2 ** 31 - 1;
const PATIENCE = 300; // milliseconds that Python may take to hear a click
const RECORDED = "Recorded when this page was made. For another run, open the lesson in JupyterLab.";
const BUSY = "The kernel is busy; your click waits.";

const isActive = (phase) => ["preparing", "training", "paused"].includes(phase);

/** Which buttons do something in a phase. */
export function allowed(phase) {
  const active = isActive(phase);
  return { start: true, pause: active, step: phase !== "training" && phase !== "preparing", stop: active, reset: true };
}

/** A box for a seed; `settle` takes the new one. */
function seedBox(settle) {
  const box = make("input", { type: "number", min: 0, max: LAST_SEED, step: 1, class: "mx-number" });
  box.addEventListener("change", () => {
    settle({ seed: Math.min(Math.max(Math.round(Number(box.value)) || 0, 0), LAST_SEED) });
  });
  return box;
}

const TRAINING = {
  name: "Training",
  start: "Train with these settings; a run at work is replaced",
  pause: "Pause after this batch",
  step: "Take one batch",
  stop: "End the run now; what was measured is kept",
  reset: "Clear both runs from the panel and put the controls back",
};

/** The buttons of a run, Step only if asked for. They keep the focus when they cannot be used, so that the keyboard is not thrown off the page. */
function buttons(send, { stepwise, work }) {
  const names = ["Start", "Pause", ...(stepwise ? ["Step"] : []), "Stop", "Reset"];
  const nodes = Object.fromEntries(
    names.map((words) => {
      const name = words.toLowerCase();
      return [name, make("button", { type: "button", title: work[name], class: `mx-${name}` }, words)];
    }),
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
    node: make("div", { class: "mx-buttons", role: "group", "aria-label": work.name }, ...Object.values(nodes)),
    show,
  };
}

/** Sends commands, of which Python says that it heard them; `late` is called with whether one waits longer than a moment. */
function sender(model, late) {
  let timer = 0;
  let sent = 0;
  const hear = ({ heard }) => {
    if (heard !== sent) return;
    clearTimeout(timer);
    late(false);
  };
  model.on("msg:custom", hear);
  return {
    send(content) {
      sent += 1;
      clearTimeout(timer);
      timer = setTimeout(() => late(true), PATIENCE);
      model.send({ ...content, number: sent });
    },
    end() {
      clearTimeout(timer);
      model.off("msg:custom", hear);
    },
  };
}

/**
 * A panel with a training behind it: rows of controls, the buttons, the line that says where the run stands, and below it
 * what `build` shows of the run. `build` is given the state, what a slider calls when it moves (`follow(name)`) and at its
 * release, what a menu calls (`settle`), what has the panel drawn again (`redraw`), and the field for the seed. It returns
 * `rows`, each the fields of some settings by name, and the nodes `below`; show() puts the state into its controls,
 * draw(view, theme) what Python says on the page, and sentence() says what the next start would do. `work` names what runs
 * and what each button does, where it is not a training. `starts` says that a page without a kernel can start a run; on
 * such a page other panels have neither buttons nor settings, and show what was recorded.
 */
export function showRunPanel({ model, el }, { names, kind, label, stepwise, starts, work = TRAINING }, build) {
  const state = Object.fromEntries(names.map((name) => [name, model.get(name)]));
  const root = make("div", { class: `mixlab-panel mx-training ${kind}`, role: "group", "aria-label": label });
  const follow = (name) => (value) => {
    state[name] = value;
    ask();
  };
  const release = () => commit();
  const settle = (change) => {
    Object.assign(state, change);
    commit();
  };
  const seed = seedBox(settle);
  const parts = build({
    model,
    root,
    state,
    follow,
    release,
    settle,
    redraw: () => ask(),
    seed: field("Seed", seed),
  });
  const fields = Object.assign({}, ...parts.rows);
  let waiting = false;
  const { send: sendContent, end } = sender(model, (late) => {
    waiting = late;
    ask();
  });
  // The state goes along: a change that is still on its way must not be overtaken by the command.
  const send = (command) => sendContent({ command, state: command === "reset" ? {} : { ...state } });
  const row = buttons(send, { stepwise, work });
  const progress = make("progress", { max: 1, value: 0, "aria-label": `Progress of the ${work.name.toLowerCase()}` });
  const status = make("p", { class: "mx-status" });
  const alert = make("p", { class: "mx-alert", role: "alert" });
  const controls = [
    ...parts.rows.map((row) => make("div", { class: "mx-controls" }, ...Object.values(row))),
    make("div", { class: "mx-run" }, row.node, progress),
  ];
  const recorded = model.get("_alone") && !starts;
  root.append(...(recorded ? [] : controls), status, alert, ...parts.below);
  el.append(root);

  const draw = (theme) => {
    const view = model.get("_view");
    row.show(view.phase);
    progress.value = view.progress;
    write(status, recorded ? RECORDED : view.status);
    write(alert, waiting ? BUSY : view.alert);
    for (const [name, node] of Object.entries(fields)) {
      node.classList.toggle("mx-later", isActive(view.phase) && state[name] !== view.settings[name]);
    }
    parts.draw(view, theme);
  };
  const show = () => {
    seed.value = state.seed;
    parts.show();
  };
  const { ask, commit, takeDown } = connect(model, root, state, { show, draw, sentence: parts.sentence });
  model.on("change:_view", ask);
  return () => {
    model.off("change:_view", ask);
    end();
    takeDown();
  };
}
