// A pair of axes on a canvas, and what is drawn between them: lines, bands, marks.

const FONT = "13px system-ui, sans-serif";

/**
 * Draw ticks, grid and names, and return what draws by the axes' numbers. `x` and `y` are { ticks, name } whose first and
 * last tick are the ends; `place` has the left, right, top and bottom of the frame in pixels.
 */
export function drawAxes(ink, theme, place, x, y) {
  const scale = (ticks, start, end) => {
    const [low, high] = [ticks[0], ticks.at(-1)];
    return (value) => start + ((value - low) / (high - low)) * (end - start);
  };
  const atX = scale(x.ticks, place.left, place.right);
  const atY = scale(y.ticks, place.bottom, place.top);

  const line = (points, color, width = 1, dash = []) => {
    ink.beginPath();
    for (const [across, up] of points) ink.lineTo(atX(across), atY(up));
    Object.assign(ink, { strokeStyle: color, lineWidth: width });
    ink.setLineDash(dash);
    ink.stroke();
    ink.setLineDash([]);
  };
  const band = (points, color) => {
    ink.beginPath();
    for (const [across, low] of points) ink.lineTo(atX(across), atY(low));
    for (const [across, , high] of [...points].reverse()) ink.lineTo(atX(across), atY(high));
    ink.fillStyle = color;
    ink.fill();
  };
  const mark = (across, up, color, square = false) => {
    ink.beginPath();
    if (square) ink.rect(atX(across) - 5, atY(up) - 5, 10, 10);
    else ink.arc(atX(across), atY(up), 5, 0, 2 * Math.PI);
    Object.assign(ink, { fillStyle: color, strokeStyle: theme.ink, lineWidth: 1 });
    ink.fill();
    ink.stroke();
  };

  Object.assign(ink, { font: FONT, textBaseline: "middle" });
  for (const tick of y.ticks) {
    const ends = [x.ticks[0], x.ticks.at(-1)].map((end) => [end, tick]);
    line(ends, theme.grid);
    Object.assign(ink, { fillStyle: theme.faint, textAlign: "right" });
    ink.fillText(String(tick), place.left - 6, atY(tick));
  }
  ink.textAlign = "center";
  for (const tick of x.ticks) ink.fillText(String(tick), atX(tick), place.bottom + 14);
  ink.fillStyle = theme.ink;
  ink.fillText(x.name, (place.left + place.right) / 2, place.bottom + 34);
  ink.save();
  ink.translate(9, (place.top + place.bottom) / 2);
  ink.rotate(-Math.PI / 2);
  ink.fillText(y.name, 0, 0);
  ink.restore();
  return { line, band, mark };
}
