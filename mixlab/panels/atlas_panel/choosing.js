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

/** What was asked for and has no run, and what stands in its place, in words; empty if nothing was skipped. */
export function skipped(axes, wanted) {
  const own = ORDER.filter((name) => !(axes.alpha === null && ["alpha", "k"].includes(name)));
  const off = own.filter((name) => wanted[name] !== axes[name]);
  const say = (from) => off.map((name) => `${{ alpha: "α", k: "K" }[name] ?? name} = ${from[name]}`).join(", ");
  return off.length ? `Not recorded: ${say(wanted)}. The nearest has ${say(axes)}.` : "";
}

/** A setting without its data, in words. */
export function wordsOf({ variant, alpha, k, epochs }) {
  const mixing = alpha === null ? [] : [`α = ${alpha}`, `K = ${k}`];
  return `${variant} (${[...mixing, `${epochs} epochs`].join(", ")})`;
}

/** The state of a panel as flat values for an address: of that, what it shares with this is left out. */
export function flat({ this: one, that: other, ...rest }) {
  const own = Object.entries(other).filter(([name, value]) => !SHARED.includes(name) || value !== one[name]);
  return { ...one, ...Object.fromEntries(own.map(([name, value]) => [`that.${name}`, value])), ...rest };
}

/** The state of flat values. What they lack is as in `state`, and so are controls beyond what is `allowed`. */
export function unflat(state, values, allowed) {
  const one = Object.fromEntries(Object.entries(state.this).map(([name, value]) => [name, values[name] ?? value]));
  const other = Object.entries(state.that).map(([name, value]) => {
    return [name, values[`that.${name}`] ?? (SHARED.includes(name) ? one[name] : value)];
  });
  const rest = Object.entries(allowed).filter(([name, options]) => options.includes(values[name]));
  const taken = rest.map(([name]) => [name, values[name]]);
  return { ...state, ...Object.fromEntries(taken), this: one, that: Object.fromEntries(other) };
}
