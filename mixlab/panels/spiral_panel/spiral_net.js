// The net of the spirals in the browser: its answers, its gradient, its descent. Python is the oracle: tests hold it to
// mixlab.models.SpiralNet, mixlab.mixed_loss and mixlab.training.SpiralTrainer.

const WIDTH = 64;
const LINEAR = [3, 6]; // the bottleneck and the read-out; all other layers end in a hyperbolic tangent
const [PEAK, MOMENTUM] = [0.05, 0.9];

/** Where it can mix: place i is what layer i takes in. */
export const PLACES = ["input", "block1", "block2", "block3", "bottleneck", "block4", "block5"];
export const BOTTLENECK = 4;

/** A net with torch's usual first weights, each uniform within 1/√inputs; `random` gives numbers in (0, 1). */
export function newNet(classes, random) {
  const sizes = [2, WIDTH, WIDTH, WIDTH, 2, WIDTH, WIDTH, classes];
  const draw = (count, reach) => Float64Array.from({ length: count }, () => reach * (2 * random() - 1));
  return netOf(
    sizes.slice(1).map((outputs, i) => {
      const reach = 1 / Math.sqrt(sizes[i]);
      return { weight: draw(outputs * sizes[i], reach), bias: draw(outputs, reach) };
    }),
  );
}

/** A net of layers {weight [outputs × inputs], bias [outputs]}, with room for what a step needs. */
export function netOf(layers) {
  return layers.map(({ weight, bias }) => {
    const parts = [Float64Array.from(weight), Float64Array.from(bias)];
    const [gradient, velocity] = [0, 1].map(() => parts.map((part) => new Float64Array(part.length)));
    return { weight: parts[0], bias: parts[1], parts, gradient, velocity };
  });
}

function forward({ weight, bias }, x, curved) {
  const outputs = bias.length;
  const inputs = weight.length / outputs;
  const rows = x.length / inputs;
  const y = new Float64Array(rows * outputs);
  for (let row = 0; row < rows; row += 1) {
    for (let output = 0; output < outputs; output += 1) {
      let [even, odd] = [bias[output], 0]; // two sums at a time are twice as fast
      for (let i = 0, from = row * inputs, w = output * inputs; i < inputs; i += 2) {
        even += x[from + i] * weight[w + i];
        odd += x[from + i + 1] * weight[w + i + 1];
      }
      y[row * outputs + output] = curved ? Math.tanh(even + odd) : even + odd;
    }
  }
  return y;
}

/** Adds the gradient of a layer's weights, and returns that of what it took in, for `slope` [rows × outputs]. */
function backward({ weight, bias, gradient }, x, slope) {
  const outputs = bias.length;
  const inputs = weight.length / outputs;
  const back = new Float64Array(x.length);
  for (let row = 0; row < x.length / inputs; row += 1) {
    for (let output = 0; output < outputs; output += 1) {
      const value = slope[row * outputs + output];
      gradient[1][output] += value;
      for (let i = 0, from = row * inputs, w = output * inputs; i < inputs; i += 1) {
        gradient[0][w + i] += value * x[from + i];
        back[from + i] += value * weight[w + i];
      }
    }
  }
  return back;
}

/** What the net makes of points [rows × 2], up to a place: by default its logits. */
export function answers(net, x, until = net.length) {
  return net.slice(0, until).reduce((state, layer, i) => forward(layer, state, !LINEAR.includes(i)), x);
}

/** Probabilities [rows × classes] of logits. */
export function probabilities(logits, classes) {
  const p = new Float64Array(logits.length);
  for (let from = 0; from < logits.length; from += classes) {
    const row = logits.subarray(from, from + classes);
    const most = Math.max(...row);
    const sum = row.reduce((total, value) => total + Math.exp(value - most), 0);
    for (let i = 0; i < classes; i += 1) p[from + i] = Math.exp(row[i] - most) / sum;
  }
  return p;
}

/** λ·x + (1 − λ)·x[partner] for each of the K·B weights `lam`, K times over the rows of x. */
function blended(x, { partner, lam }) {
  const batch = partner.length;
  const width = x.length / batch;
  const mixed = new Float64Array(lam.length * width);
  for (let row = 0; row < lam.length; row += 1) {
    const [own, other] = [(row % batch) * width, partner[row % batch] * width];
    for (let i = 0; i < width; i += 1) mixed[row * width + i] = lam[row] * x[own + i] + (1 - lam[row]) * x[other + i];
  }
  return mixed;
}

/** The gradient of x, where `slope` is that of what `blended` makes of it. */
function unblended(slope, { partner, lam }) {
  const batch = partner.length;
  const width = slope.length / lam.length;
  const back = new Float64Array(batch * width);
  for (let row = 0; row < lam.length; row += 1) {
    const [own, other] = [(row % batch) * width, partner[row % batch] * width];
    for (let i = 0; i < width; i += 1) {
      back[own + i] += lam[row] * slope[row * width + i];
      back[other + i] += (1 - lam[row]) * slope[row * width + i];
    }
  }
  return back;
}

/** The mean cross entropy of a batch in nats, whose gradient it leaves in the net; `mix` is null or {place, partner, lam}. */
export function differentiate(net, x, y, mix) {
  const taken = []; // by each layer
  const made = [];
  let state = x;
  net.forEach((layer, i) => {
    if (mix?.place === i) state = blended(state, mix);
    taken.push(state);
    state = forward(layer, state, !LINEAR.includes(i));
    made.push(state);
    for (const part of layer.gradient) part.fill(0);
  });
  const classes = net.at(-1).bias.length;
  const rows = state.length / classes;
  let slope = probabilities(state, classes);
  let loss = 0;
  const p = slope.slice();
  for (let row = 0; row < rows; row += 1) {
    const own = row % y.length;
    const pairs = mix
      ? [
          [y[own], mix.lam[row]],
          [y[mix.partner[own]], 1 - mix.lam[row]],
        ]
      : [[y[own], 1]];
    for (const [label, share] of pairs) {
      loss -= (share * Math.log(p[row * classes + label])) / rows;
      slope[row * classes + label] -= share;
    }
  }
  slope = slope.map((value) => value / rows);
  for (let i = net.length - 1; i >= 0; i -= 1) {
    if (!LINEAR.includes(i)) slope = slope.map((value, at) => value * (1 - made[i][at] ** 2));
    slope = backward(net[i], taken[i], slope);
    if (mix?.place === i) slope = unblended(slope, mix);
  }
  return loss;
}

/** Nesterov's step along the gradient in the net: step `step` of `steps`, counted from 0. */
export function descend(net, step, steps) {
  const progress = (step + 1) / (steps + 1);
  const rate = PEAK * (progress < 0.1 ? progress / 0.1 : (1 - progress) / 0.9);
  for (const { parts, gradient, velocity } of net) {
    parts.forEach((part, which) => {
      const [slope, speed] = [gradient[which], velocity[which]];
      for (let i = 0; i < part.length; i += 1) {
        speed[i] = MOMENTUM * speed[i] + slope[i];
        part[i] -= rate * (slope[i] + MOMENTUM * speed[i]);
      }
    });
  }
}
