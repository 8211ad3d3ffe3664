// Settings that exist: what a control can be moved to, and where the others go when it is.

const SHARED = ["data", "model", "images"]; // of both sides
const ORDER = [...SHARED, "variant", "epochs", "k", "alpha"]; // what is kept first when not all can be

export const same = (one, other, names = ORDER) => names.every((name) => one[name] === other[name]);

/** The settings with the data of this one. */
export const alike = (settings, axes) => settings.filter((one) => same(one.axes, axes, SHARED));

const before = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);

/** The stops of a control: the values that a setting has somewhere; of a variant's own numbers, with that variant. */
export function stopsOf(settings, axes, name) {
  const kept = { data: [], model: ["data"], images: ["data", "model"], variant: SHARED }[name] ?? [
    ...SHARED,
    "variant",
  ];
  const values = settings.filter((one) => same(one.axes, axes, kept)).map((one) => one.axes[name]);
  return [...new Set(values)].sort(before);
}

function distance(value, wanted) {
  if (value === wanted) return 0;
  return typeof value === "number" && typeof wanted === "number" ? Math.abs(Math.log(value / wanted)) : 1;
}

/** The setting nearest to the wanted one: equal in `first` if any is, then as near as can be, axis after axis. */
export function nearest(settings, wanted, first = ORDER[0]) {
  const order = [first, ...ORDER.filter((name) => name !== first)];
  const closer = (one, other) => {
    for (const name of order) {
      const gap = distance(one.axes[name], wanted[name]) - distance(other.axes[name], wanted[name]);
      if (gap !== 0) return gap < 0;
    }
    return false;
  };
  return settings.reduce((best, one) => (closer(one, best) ? one : best));
}

const NAMES = {
  alpha: "α",
  k: "K",
  epochs: "epochs",
  images: "images",
  model: "model",
  data: "data",
  variant: "variant",
};

/** What was skipped: the values wanted and not there, and what stands in their place. Empty if all are there. */
export function skipped(axes, wanted) {
  const off = ORDER.filter((name) => axes[name] !== null && wanted[name] !== axes[name]);
  const mixes = axes.alpha !== null;
  const shown = off.filter((name) => mixes || name !== "k");
  if (shown.length === 0) return "";
  const say = (name, from) => `${NAMES[name]} ${from[name]}`;
  return `Not recorded with ${shown.map((name) => say(name, wanted)).join(", ")}; the nearest has ${shown
    .map((name) => say(name, axes))
    .join(", ")}.`;
}

/** A setting without its data, in words. */
export function wordsOf({ variant, alpha, k, epochs }) {
  const mixing = alpha === null ? [] : [`α = ${alpha}`, `K = ${k}`];
  return [variant, ...mixing, `${epochs} epochs`].join(", ");
}
