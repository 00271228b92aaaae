// Dense layers, normalisation, softmax, layers that combine inputs, layers that move elements.

function dense(step, y, x, k) {
  const from = step.ins[0], bias = step.bias ? numbers(step.bias.array)[k] : null;
  const terms = [];
  const add = (n, w) => terms.push({ input: 0, y: 0, x: 0, c: n, v: from.data[n], w, d: w });
  let rest = null;
  if (step.kernel) {
    const w = numbers(step.kernel.array);
    for (let n = 0; n < step.features; n++) add(n, w[n * step.units + k]);
  } else {
    const top = arrayOf(step.top), weights = numbers(step.top_weights.array);
    const count = top.shape[1];
    for (let n = 0; n < count; n++) add(top.data[k * count + n], weights[k * count + n]);
    rest = numbers(step.rest.array)[k];
  }
  return { terms, bias, rest, z: total(terms) + (bias ?? 0) + (rest ?? 0), list: true };
}

/** gamma (x - mean) / sqrt(variance + epsilon) + beta; `at` finds the statistics. */
function normalised(step, y, x, c, at, depends) {
  const place = step.out.place(c), v = step.ins[0].at(y, x, c);
  const mean = numbers(step.mean.array)[at], variance = numbers(step.variance.array)[at];
  const gamma = step.gamma ? numbers(step.gamma.array)[place] : 1;
  const beta = step.beta ? numbers(step.beta.array)[place] : 0;
  const factor = gamma / Math.sqrt(variance + step.epsilon);
  const d = depends ? null : factor;
  return { terms: [{ input: 0, y, x, c, v, d }], z: factor * (v - mean) + beta,
           parts: { x: v, mean, variance, epsilon: step.epsilon, gamma, beta, factor } };
}

function acrossChannels(step, y, x, c) {
  const from = step.ins[0], place = (y * from.W + x) * from.channels.length + from.place(c);
  const s = step.bias + step.alpha * numbers(step.sums.array)[place];
  const own = from.at(y, x, c), power = s ** -step.beta;
  const terms = [];
  for (let k = c - step.radius; k <= c + step.radius; k++) {
    const v = from.at(y, x, k);
    if (Number.isNaN(v)) continue;
    const d = -2 * step.alpha * step.beta * own * v * power / s + (k === c ? power : 0);
    terms.push({ input: 0, y, x, c: k, v, w: v, d });
  }
  return { terms, z: own * power, list: true,
           parts: { x: own, "sum of squares": (s - step.bias) / step.alpha,
                    "scale = bias + alpha sum": s, "scale^-beta": power } };
}

/** Softmax along the channels at one place; `log_sum` covers channels that are not shown, too. */
function shares(step, y, x, c, logarithm) {
  const from = step.ins[0], log = numbers(step.log_sum.array)[y * from.W + x];
  const own = Math.exp(from.at(y, x, c) - log);
  const terms = from.channels.map((k) => {
    const v = from.at(y, x, k), share = Math.exp(v - log);
    const d = (k === c ? 1 : 0) - share;
    return { input: 0, y, x, c: k, v, d: logarithm ? d : own * d };
  });
  return { terms, z: logarithm ? from.at(y, x, c) - log : own, log };
}

// ---- several inputs ------------------------------------------------------------------------

function combined(step, y, x, c) {
  const terms = step.ins.map((from, input) => {
    const at = [Math.min(y, from.H - 1), Math.min(x, from.W - 1), Math.min(c, from.C - 1)];
    return { input, y: at[0], x: at[1], c: at[2], v: from.at(...at), d: 1 };
  });
  return { terms, z: COMBINE[step.view](terms), list: true };
}

function extreme(terms, better) {
  const best = terms.reduce((a, b) => (better(b.v, a.v) ? b : a));
  terms.forEach((term) => { term.d = term === best ? 1 : 0; });
  best.won = true;
  return best.v;
}

const COMBINE = {
  add: (terms) => terms.reduce((sum, t) => sum + t.v, 0),
  subtract: ([a, b]) => { b.d = -1; return a.v - b.v; },
  multiply: (terms) => {
    const others = (t) => terms.reduce((p, o) => (o === t ? p : p * o.v), 1);
    terms.forEach((t) => { t.d = others(t); });
    return terms.reduce((p, t) => p * t.v, 1);
  },
  average: (terms) => {
    terms.forEach((t) => { t.d = 1 / terms.length; });
    return terms.reduce((sum, t) => sum + t.v, 0) / terms.length;
  },
  maximum: (terms) => extreme(terms, (a, b) => a > b),
  minimum: (terms) => extreme(terms, (a, b) => a < b),
  divide: ([a, b]) => { a.d = 1 / b.v; b.d = -a.v / b.v ** 2; return a.v / b.v; },
  power: ([a, b]) => {
    a.d = b.v * a.v ** (b.v - 1);
    b.d = a.v ** b.v * Math.log(a.v);
    return a.v ** b.v;
  },
};

// ---- elements that move --------------------------------------------------------------------

/** By view: which element of which input is output (y, x, c); null for a zero of the padding. */
const SOURCES = {
  same: (step, y, x, c) => [0, y, x, c],
  flatten: (step, y, x, c) => [0, ...step.ins[0].unravel(step.out.ravel(y, x, c))],
  reshape: (step, y, x, c) => [0, ...step.ins[0].unravel(step.out.ravel(y, x, c))],
  pad: (step, y, x, c) => {
    const [row, column] = [y - step.before[0], x - step.before[1]], from = step.ins[0];
    const inside = row >= 0 && column >= 0 && row < from.H && column < from.W;
    return inside ? [0, row, column, c] : null;
  },
  permute: (step, ...at) => {
    const lost = 3 - step.out.shape.length, from = at.slice();
    step.dims.forEach((axis, i) => { from[lost + axis] = at[lost + i]; });
    return [0, ...from];
  },
  concat: (step, ...at) => {
    const input = step.starts.findLastIndex((start) => at[step.axis] >= start);
    const from = at.slice();
    from[step.axis] -= step.starts[input];
    return [input, ...from];
  },
};

function moved(step, ...at) {
  const source = SOURCES[step.view](step, ...at);
  if (!source) return { terms: [], z: 0, padding: true };
  const [input, y, x, c] = source, v = step.ins[input].at(y, x, c);
  return { terms: [{ input, y, x, c, v, d: 1 }], z: v, moved: true };
}

function looked(step, y, x, c) {
  const from = step.ins[0], id = from.data[step.out.isVector ? 0 : y * step.out.W + x];
  const row = step.used.indexOf(Math.trunc(id)), width = step.out.channels.length;
  return { terms: [], z: numbers(step.table.array)[row * width + step.out.place(c)],
           parts: { "number of the row": id } };
}

const OTHERS = {
  dense,
  batch_norm: (step, y, x, c) => normalised(step, y, x, c, step.out.place(c), false),
  group_norm: (step, y, x, c) => normalised(step, y, x, c, step.out.place(c), true),
  layer_norm: (step, y, x, c) => normalised(step, y, x, c, y * step.out.W + x, true),
  lrn: acrossChannels,
  softmax: (step, y, x, c) => shares(step, y, x, c, false),
  log_softmax: (step, y, x, c) => shares(step, y, x, c, true),
  activation: (step, y, x, c) => {
    const v = step.ins[0].at(y, x, c);
    return { terms: [{ input: 0, y, x, c, v, d: 1 }], z: v };
  },
  rescale: (step, y, x, c) => {
    const place = step.out.place(c), v = step.ins[0].at(y, x, c);
    const scale = numbers(step.scale.array)[place], offset = numbers(step.offset.array)[place];
    return { terms: [{ input: 0, y, x, c, v, d: scale }], z: v * scale + offset,
             parts: { x: v, scale, offset } };
  },
  embedding: looked,
};
Object.keys(COMBINE).forEach((view) => { OTHERS[view] = combined; });
Object.keys(SOURCES).forEach((view) => { OTHERS[view] = moved; });
