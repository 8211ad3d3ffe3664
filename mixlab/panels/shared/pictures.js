// What panels of images share: pictures from bytes, tiles with a heading, soft labels.

import { make } from "./dom.js";

export const CHANNELS = 3;

/** The bytes of a synced trait, which comes as a DataView. */
export const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

/** A color #rrggbb as three bytes. */
export const bytesOfColor = (hex) => [1, 3, 5].map((place) => parseInt(hex.slice(place, place + 2), 16));

/** The color of a share of a scale of hex colors, as three bytes. */
export function shadeOf(scale, share) {
  const place = Math.min(Math.max(share, 0), 1) * (scale.length - 1);
  const low = Math.min(Math.floor(place), scale.length - 2);
  const [first, second] = [bytesOfColor(scale[low]), bytesOfColor(scale[low + 1])];
  return first.map((value, i) => Math.round(value + (place - low) * (second[i] - value)));
}

/** A heat map of bytes in the colors of a scale, as [height, width, 3]. */
export function heatBytes(scale, values) {
  const colors = Array.from({ length: 256 }, (_, i) => shadeOf(scale, i / 255));
  return Uint8Array.from(Array.from(values).flatMap((value) => colors[value]));
}

/** A soft label in words: "0.70 cat + 0.30 dog". */
export function labelWords(lam, [first, second]) {
  const share = Math.round(100 * lam);
  if (first === second || share === 100) return `1.00 ${first}`;
  if (share === 0) return `1.00 ${second}`;
  return `${(share / 100).toFixed(2)} ${first} + ${((100 - share) / 100).toFixed(2)} ${second}`;
}

/** Put bytes [height, width, 3] on a canvas of that size. */
export function paint(canvas, bytes) {
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, canvas.height);
  for (let i = 0, j = 0; i < bytes.length; i += CHANNELS, j += 4) {
    picture.data[j] = bytes[i];
    picture.data[j + 1] = bytes[i + 1];
    picture.data[j + 2] = bytes[i + 2];
    picture.data[j + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}

/** λ a + (1 - λ) b for bytes, rounded to the nearest, halves to even (that is how a clamped array stores numbers). */
export function mixBytes(a, b, lam) {
  const mixed = new Uint8ClampedArray(a.length);
  for (let i = 0; i < a.length; i += 1) mixed[i] = lam * a[i] + (1 - lam) * b[i];
  return mixed;
}

/** a with the box of b pasted in; both [height, width, 3]. */
export function pasteBytes(a, b, { top, left, bottom, right }, width) {
  const mixed = Uint8ClampedArray.from(a);
  for (let row = top; row < bottom; row += 1) {
    const [start, end] = [left, right].map((column) => (row * width + column) * CHANNELS);
    if (end > start) mixed.set(b.subarray(start, end), start);
  }
  return mixed;
}

/** One image with its heading; `below` holds what is said about it. */
export function tile(heading, [height, width], ...below) {
  const canvas = make("canvas", { role: "img", width, height });
  const frame = make("div", { class: "mx-frame" }, canvas);
  return { canvas, frame, heading, node: make("div", { class: "mx-tile" }, heading, frame, ...below) };
}

/** A soft label: a bar of two parts, and the same in words. */
export function softLabel() {
  const part = make("span");
  const words = make("strong", { class: "mx-soft" });
  const bar = make("div", { class: "mx-label-bar", "aria-hidden": "true" }, part);
  const show = (lam, names) => {
    part.style.width = `${100 * lam}%`;
    words.textContent = labelWords(lam, names);
  };
  return { nodes: [bar, words], show };
}

/** A tile's heading, with a patch of the color of x ("first"), of x′ ("second") or with none. */
export const heading = (kind, ...words) =>
  make("div", { class: "mx-heading" }, make("i", { class: `mx-key mx-${kind}` }), ...words);
