// One surface on a canvas: the floor with contour lines and ticks, the painted cells, the height's axis, a marked point.

import { backToFront, contour, corners, cutAt, projection } from "./geometry.js";

const FLOOR = -0.6; // where the contour lines lie; the surface stands between 0 and 1
const LEVELS = 8; // contour lines up to the cut
const REACH = { across: 1.7, up: 1.7 }; // of the turning box and its words from its middle
const FONT = "12px system-ui, sans-serif";

/** A number with a minus sign as in print. */
export const printed = (value, digits = 2) =>
  value
    .toFixed(digits)
    .replace(/^-(?=0\.?0*$)/, "")
    .replace("-", "−");

/** The contour lines of a surface at equal distances up to its cut. */
export const contoursOf = (axis, heights, top) =>
  Array.from({ length: LEVELS }, (_, i) => ({
    share: (i + 1) / LEVELS,
    segments: contour(axis, heights, (top * (i + 1)) / LEVELS),
  }));

/** Where the points of a box lie on the canvas: [x, y] in pixels of [a, b, z] with z from 0 to 1 for a surface. */
function placed({ left, top, width, height }, { azimuth, elevation }) {
  const project = projection(azimuth, elevation);
  const scale = Math.min(width / 2 / REACH.across, height / 2 / REACH.up);
  const [, middle] = project([0, 0, (1 + FLOOR) / 2]);
  return (point) => {
    const [right, up] = project(point);
    return [left + width / 2 + scale * right, top + height / 2 - scale * (up - middle)];
  };
}

function trace(ink, points, closed = false) {
  ink.beginPath();
  points.forEach(([x, y], i) => (i ? ink.lineTo(x, y) : ink.moveTo(x, y)));
  if (closed) ink.closePath();
}

/** The floor: its frame, its contour lines, and ticks along the two edges that are nearest. */
function drawFloor(ink, at, theme, { azimuth }, contours) {
  const turn = (azimuth * Math.PI) / 180;
  const ends = [
    [-1, -1],
    [-1, 1],
    [1, 1],
    [1, -1],
  ].map(([a, b]) => at([a, b, FLOOR]));
  Object.assign(ink, { strokeStyle: theme.faint, lineWidth: 1 });
  trace(ink, ends, true);
  ink.stroke();
  for (const { share, segments } of contours) {
    ink.lineWidth = share === 1 ? 2 : 1;
    ink.beginPath();
    for (const segment of segments) {
      const [start, end] = segment.map(([a, b]) => at([a, b, FLOOR]));
      ink.moveTo(...start);
      ink.lineTo(...end);
    }
    ink.stroke();
  }
  const [nearA, nearB] = [Math.cos(turn) < 0 ? -1 : 1, Math.sin(turn) < 0 ? -1 : 1];
  const middle = at([0, 0, FLOOR]);
  const put = (words, point, edge, distance) => {
    const [x, y] = at(point);
    const outward = at(edge).map((value, i) => value - middle[i]);
    const length = Math.hypot(...outward);
    const [right, down] = length > 1e-6 ? outward.map((value) => value / length) : [0, 1]; // seen along the floor
    ink.fillText(words, x + distance * right, y + distance * down);
  };
  const edges = [
    ["a", (tick) => [tick, nearB, FLOOR]],
    ["b", (tick) => [nearA, tick, FLOOR]],
  ];
  Object.assign(ink, { font: FONT, textAlign: "center", textBaseline: "middle" });
  for (const [name, along] of edges) {
    ink.fillStyle = theme.faint;
    for (const tick of [-0.5, 0, 0.5]) put(printed(tick, tick ? 1 : 0), along(tick), along(0), 16);
    ink.fillStyle = theme.ink;
    put(name, along(0), along(0), 34);
  }
}

/** The axis of heights, at the corner that is farthest left. */
function drawAxis(ink, at, theme, { elevation }, { top, unit }) {
  if (elevation > 75) return; // seen from above, heights are the colors alone
  const corner = [
    [-1, -1],
    [-1, 1],
    [1, 1],
    [1, -1],
  ].reduce((best, one) => (at([...one, 0])[0] < at([...best, 0])[0] ? one : best));
  Object.assign(ink, { strokeStyle: theme.faint, fillStyle: theme.faint, lineWidth: 1, textAlign: "right" });
  trace(
    ink,
    [0, 1].map((z) => at([...corner, z])),
  );
  ink.stroke();
  for (const share of [0, 0.5, 1]) {
    const [x, y] = at([...corner, share]);
    ink.fillText(printed(share * top, top < 1 ? 2 : 1), x - 5, y);
  }
  const [x, y] = at([...corner, 1]);
  Object.assign(ink, { textAlign: "center", fillStyle: theme.ink });
  ink.fillText(unit, x, y - 14);
}

/** The cells from back to front, coloured by height; returns what was painted, in this order. */
function drawCells(ink, at, theme, { azimuth }, { axis, heights, top }, colors) {
  const painted = [];
  Object.assign(ink, { lineWidth: 0.5, lineJoin: "round", strokeStyle: theme.ink });
  for (const cell of backToFront(axis.length, azimuth)) {
    const polygon = cutAt(corners(axis, heights, cell), top);
    if (polygon.length < 3) continue;
    const mean = polygon.reduce((sum, [, , height]) => sum + height, 0) / polygon.length / top;
    if (Number.isNaN(mean)) continue;
    const points = polygon.map(([a, b, height]) => at([a, b, height / top]));
    ink.fillStyle = colors[Math.round(Math.min(Math.max(mean, 0), 1) * (colors.length - 1))];
    trace(ink, points, true);
    ink.fill();
    ink.globalAlpha = 0.45;
    ink.stroke();
    ink.globalAlpha = 1;
    painted.push({ cell, points });
  }
  return painted;
}

/** The marked point with a line down to the floor; hollow where the surface is above the cut. */
function drawMark(ink, at, theme, { axis, heights, top }, [row, column]) {
  const height = heights[row * axis.length + column];
  if (Number.isNaN(height)) return;
  const place = (z) => at([axis[row], axis[column], z]);
  const [x, y] = place(Math.min(height / top, 1));
  Object.assign(ink, { strokeStyle: theme.ink, fillStyle: theme.second, lineWidth: 1.2 });
  ink.setLineDash([3, 3]);
  trace(ink, [[x, y], place(FLOOR)]);
  ink.stroke();
  ink.setLineDash([]);
  ink.beginPath();
  ink.arc(x, y, 5, 0, 2 * Math.PI);
  if (height <= top) ink.fill();
  ink.stroke();
}

/**
 * Draw a surface of { axis, heights, top, contours, name, unit } in a part of the canvas, seen from { azimuth, elevation }. Returns
 * the painted cells, back to front, and `at`, which gives a grid point's place on the canvas.
 */
export function drawSurface(ink, part, theme, view, surface, { point, colors }) {
  const at = placed(part, view);
  drawFloor(ink, at, theme, view, surface.contours);
  const painted = drawCells(ink, at, theme, view, surface, colors);
  drawAxis(ink, at, theme, view, surface);
  drawMark(ink, at, theme, surface, point);
  Object.assign(ink, { font: `600 ${FONT.replace("12", "14")}`, textAlign: "center", fillStyle: theme.ink });
  ink.fillText(surface.name, part.left + part.width / 2, part.top + 12);
  return {
    painted,
    at: ([row, column]) => at([surface.axis[row], surface.axis[column], heightAt(surface, row, column)]),
  };
}

const heightAt = ({ axis, heights, top }, row, column) => Math.min(heights[row * axis.length + column] / top, 1);
