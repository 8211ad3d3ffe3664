// The geometry of a surface over a square: its projection, the order to paint it in, its cut and its contour lines.

/**
 * The orthographic projection from a direction, in degrees: azimuth from the a-axis towards the b-axis, elevation from the
 * plane. A point [a, b, z] becomes [right, up, towards the eye].
 */
export function projection(azimuth, elevation) {
  const [turn, tilt] = [azimuth, elevation].map((degrees) => (degrees * Math.PI) / 180);
  const [sinTurn, cosTurn, sinTilt, cosTilt] = [Math.sin(turn), Math.cos(turn), Math.sin(tilt), Math.cos(tilt)];
  return ([a, b, z]) => {
    const [right, near] = [b * cosTurn - a * sinTurn, a * cosTurn + b * sinTurn];
    return [right, z * cosTilt - near * sinTilt, near * cosTilt + z * sinTilt];
  };
}

/** The azimuth, from −180 to 180, and the elevation, from 0 to 90, after a turn by so many degrees. */
export function turned({ azimuth, elevation }, right, up) {
  const round = azimuth - right + 180;
  return {
    azimuth: round - 360 * Math.floor(round / 360) - 180,
    elevation: Math.min(Math.max(elevation + up, 0), 90),
  };
}

/** The cells [row, column] of a grid of so many points a side, from the farthest to the nearest. */
export function backToFront(side, azimuth) {
  const turn = (azimuth * Math.PI) / 180;
  const order = (towards) => {
    const rising = Array.from({ length: side - 1 }, (_, i) => i);
    return towards > 0 ? rising : rising.reverse();
  };
  const columns = order(Math.sin(turn));
  return order(Math.cos(turn)).flatMap((row) => columns.map((column) => [row, column]));
}

/** The part of a polygon of points [a, b, height] that is not above `top`. */
export function cutAt(polygon, top) {
  return polygon.flatMap((point, i) => {
    const next = polygon[(i + 1) % polygon.length];
    const [low, high] = [point[2] <= top, next[2] <= top];
    if (low === high) return low ? [point] : [];
    const share = (top - point[2]) / (next[2] - point[2]);
    const edge = point.map((value, axis) => value + share * (next[axis] - value));
    edge[2] = top;
    return low ? [point, edge] : [edge];
  });
}

/** The corners [a, b, height] of a cell; `heights` is [side * side], rows first. */
export function corners(axis, heights, [row, column]) {
  const at = (i, j) => [axis[i], axis[j], heights[i * axis.length + j]];
  return [at(row, column), at(row, column + 1), at(row + 1, column + 1), at(row + 1, column)];
}

/** The segments [[a, b], [a, b]] where the surface, of two triangles a cell, crosses a level. */
export function contour(axis, heights, level) {
  const segments = [];
  for (const cell of backToFront(axis.length, 0)) {
    const [first, second, third, fourth] = corners(axis, heights, cell);
    for (const triangle of [
      [first, second, third],
      [first, third, fourth],
    ]) {
      const crossings = triangle.flatMap((point, i) => {
        const next = triangle[(i + 1) % 3];
        if (point[2] <= level === next[2] <= level || Number.isNaN(point[2] + next[2])) return [];
        const share = (level - point[2]) / (next[2] - point[2]);
        return [[point[0] + share * (next[0] - point[0]), point[1] + share * (next[1] - point[1])]];
      });
      if (crossings.length === 2) segments.push(crossings);
    }
  }
  return segments;
}

/** Whether a polygon of points [x, y, ...] holds a point. */
export function holds(polygon, x, y) {
  let inside = false;
  polygon.forEach(([x1, y1], i) => {
    const [x2, y2] = polygon[(i + 1) % polygon.length];
    if (y1 > y !== y2 > y && x < x1 + ((y - y1) / (y2 - y1)) * (x2 - x1)) inside = !inside;
  });
  return inside;
}
