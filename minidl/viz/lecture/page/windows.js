// Layers whose output looks at a window of the input: convolutions and pooling.
// A term is { input, y, x, c, v, w, d }: which input, where, its value, the weight it is multiplied
// by (if any), and the derivative of z with respect to it.

/** Where the window of output (y, x) lies: calls visit(i, j, input row, input column). */
function overWindow(step, y, x, rows, columns, visit) {
  const [sy, sx] = step.stride, [top, left] = step.before;
  const [dy, dx] = step.dilation ?? [1, 1];
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) visit(i, j, y * sy - top + i * dy, x * sx - left + j * dx);
  }
}

/** The same for a transposed convolution: which inputs reach output (y, x). */
function overSources(step, y, x, rows, columns, visit) {
  const [sy, sx] = step.stride, [top, left] = step.before, [dy, dx] = step.dilation;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const row = y + top - i * dy, column = x + left - j * dx;
      const hit = row % sy === 0 && column % sx === 0;
      visit(i, j, hit ? row / sy : -1, hit ? column / sx : -1);
    }
  }
}

/** Terms of a convolution; those of the padding are left out, their value is 0. */
function convolved(step, y, x, c) {
  const kernel = arrayOf(step.kernel), from = step.ins[0], place = step.out.place(c);
  const [rows, columns, deep, filters] = kernel.shape;
  const group = Math.floor(c / (step.out.C / step.groups)), width = from.C / step.groups;
  const walk = step.view === "conv_transpose" ? overSources : overWindow;
  const terms = [];
  walk(step, y, x, rows, columns, (i, j, row, column) => {
    if (row < 0 || column < 0 || row >= from.H || column >= from.W) return;
    for (let r = 0; r < deep; r++) {
      const channel = group * width + (step.rows ? step.rows[r] : r);
      const at = from.index(row, column, channel);
      if (at < 0) continue;
      const w = kernel.data[((i * columns + j) * deep + r) * filters + place];
      terms.push({ input: 0, y: row, x: column, c: channel, v: from.data[at], w, d: w, i, j, r });
    }
  });
  const bias = step.bias ? numbers(step.bias.array)[place] : null;
  const rest = step.rest ? numbers(step.rest.array)[step.out.index(y, x, c)] : null;
  return { terms, bias, rest, z: total(terms) + (bias ?? 0) + (rest ?? 0),
           window: [rows, columns] };
}

function total(terms) {
  return terms.reduce((sum, t) => sum + t.v * t.w, 0);
}

/** The elements of a pooling window; padding is none. */
function pooled(step, y, x, c) {
  const from = step.ins[0], terms = [];
  overWindow(step, y, x, ...step.window, (i, j, row, column) => {
    const v = from.at(row, column, c);
    if (!Number.isNaN(v)) terms.push({ input: 0, y: row, x: column, c, v, d: 0, i, j });
  });
  return { terms, window: step.window };
}

function everywhere(step, y, x, c) {
  const from = step.ins[0], terms = [];
  const channel = step.out.isVector || step.out.C === from.C ? c : -1;
  for (let row = 0; row < from.H; row++) {
    for (let column = 0; column < from.W; column++) {
      const v = from.at(row, column, channel);
      if (!Number.isNaN(v)) terms.push({ input: 0, y: row, x: column, c: channel, v, d: 0 });
    }
  }
  return { terms, whole: true };
}

function largest(found) {
  if (!found.terms.length) return { ...found, z: NaN };
  const best = found.terms.reduce((a, b) => (b.v > a.v ? b : a));
  best.d = 1;
  best.won = true;
  return { ...found, z: best.v, winner: best };
}

/** Equal maxima of a whole map share the gradient; in a window the first one gets it. */
function shared(found) {
  const equal = found.terms.filter((term) => term.v === found.z);
  equal.forEach((term) => { term.d = 1 / equal.length; });
  return found;
}

function mean(found) {
  const n = found.terms.length;
  found.terms.forEach((term) => { term.d = term.w = 1 / n; });
  return { ...found, z: n ? total(found.terms) : NaN, count: n };
}

const WINDOWS = {
  conv: convolved,
  conv_transpose: convolved,
  max_pool: (...at) => largest(pooled(...at)),
  average_pool: (...at) => mean(pooled(...at)),
  global_max: (...at) => shared(largest(everywhere(...at))),
  global_average: (...at) => mean(everywhere(...at)),
};
