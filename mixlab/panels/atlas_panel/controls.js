// The controls of the atlas panel: sliders whose stops change, menus, and those of one side together.

import { field, make, newId, slider, write } from "../shared/dom.js";
import { skipped, stopsOf } from "./choosing.js";
import { count } from "./pictures.js";

/** A slider whose every step is another stop: `show(stops, value)`. */
export function stopSlider(label, say, move, release) {
  let stops = [];
  const scale = {
    min: 0,
    max: 0,
    step: 1,
    say: (value) => (value === null ? "–" : say(value)),
    toValue: (place) => stops[place],
    toPosition: (value) => stops.indexOf(value),
  };
  const bar = slider(label, scale, move, release);
  const show = (now, value) => {
    stops = now;
    bar.range.max = now.length - 1;
    bar.show(value);
  };
  return { node: bar.node, show };
}

/** A menu whose options change: `show(names, name)`. */
export function changingMenu(label, choose) {
  const menu = make("select", { onChange: () => choose(menu.value) });
  const show = (names, name) => {
    if (names.join() !== [...menu.options].map(({ value }) => value).join())
      menu.replaceChildren(...names.map((value) => make("option", { value }, value)));
    menu.value = name;
  };
  return { node: field(label, menu), show };
}

/** The controls of a side and a line on its runs; `move(axis, value)` follows a drag, `release()` its end. */
export function sideControls(kind, words, move, release) {
  const to = (axis) => (value) => move(axis, value);
  const variant = changingMenu("Variant", (name) => {
    move("variant", name);
    release();
  });
  const bars = {
    alpha: stopSlider("α", String, to("alpha"), release),
    k: stopSlider("K", String, to("k"), release),
    epochs: stopSlider("Epochs", String, to("epochs"), release),
  };
  const sample = make("i", { class: `mx-side mx-side-${kind}`, "aria-hidden": "true" });
  const title = make("div", { class: "mx-side-name", id: newId() }, sample, words);
  const said = make("p", { class: "mx-said-of" });
  const nodes = [title, variant.node, ...Object.values(bars).map(({ node }) => node)];
  const controls = make("div", { class: "mx-controls" }, ...nodes);
  const node = make("div", { role: "group", "aria-labelledby": title.id }, controls, said);
  const show = (settings, { axes, runs, cost }, wanted) => {
    variant.show(stopsOf(settings, axes, "variant"), axes.variant);
    for (const [axis, bar] of Object.entries(bars)) bar.show(stopsOf(settings, axes, axis), axes[axis]);
    const seeds = runs.size === 1 ? "1 run" : `${runs.size} runs, a seed each`;
    write(said, [`${seeds}; ${count(cost)} images through the network.`, skipped(axes, wanted)].join(" ").trim());
  };
  return { node, show };
}
