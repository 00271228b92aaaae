// One output of a step computed again, compared with the engine's value, and its way back.

const COMPUTE = { ...WINDOWS, ...OTHERS };
const BY_CHANNELS = ["softmax", "log_softmax"];  // activations that need all channels

/** What makes output (y, x, c): terms, z, value = f(z), the engine's value, the difference. */
function compute(step, y, x, c) {
  const engine = step.out.at(y, x, c), gradient = step.out.gradientAt(y, x, c);
  const make = COMPUTE[step.view];
  if (!make || Number.isNaN(engine)) return { terms: [], engine, gradient, value: NaN };
  const made = make(step, y, x, c), activation = activationAfter(step);
  const [value, atZ] = activated(step, activation, made.z, gradient, y, x, c);
  return { ...made, value, engine, gradient, atZ, activation, difference: value - engine };
}

/** The activation at the end of a step; softmax as a layer is a view of its own. */
function activationAfter(step) {
  const own = step.activation;
  return own && own.name !== "linear" && !BY_CHANNELS.includes(step.view) ? own : null;
}

/** Return f(z), and the gradient of the loss at z. */
function activated(step, activation, z, gradient, y, x, c) {
  if (!activation) return [z, gradient];
  if (BY_CHANNELS.includes(activation.name)) return softened(step, activation, z, y, x, c);
  const known = ACTIVATIONS[activation.name];
  if (!known) return [NaN, NaN];
  const value = known[0](z, activation);
  return [value, gradient * known[1](z, value, activation)];
}

/** Softmax at the end of a layer: it needs z of all channels, which must all be held. */
function softened(step, activation, z, y, x, c) {
  if (!step.out.isWhole) return [NaN, NaN];
  const { log, inner } = sums(step, activation, y, x);
  const share = Math.exp(z - log), g = step.out.gradientAt(y, x, c);
  if (activation.name === "softmax") return [share, share * (g - inner)];
  return [z - log, g - share * inner];
}

const sumsOf = new Map();

function sums(step, activation, y, x) {
  const key = `${step.number} ${y} ${x}`;
  if (!sumsOf.has(key)) {
    const zs = step.out.channels.map((k) => COMPUTE[step.view](step, y, x, k).z);
    const most = Math.max(...zs);
    const log = most + Math.log(zs.reduce((sum, z) => sum + Math.exp(z - most), 0));
    const plain = activation.name === "log_softmax";
    const inner = zs.reduce((sum, z, k) => sum
      + step.out.gradientAt(y, x, k) * (plain ? 1 : Math.exp(z - log)), 0);
    sumsOf.set(key, { zs, log, inner });
  }
  return sumsOf.get(key);
}

/** The largest output that the page holds, which is shown first. */
function strongest(step) {
  const data = step.out.data;
  let best = 0;
  for (let i = 1; i < data.length; i++) if (data[i] > data[best]) best = i;
  const [y, x, c] = step.out.stored(best);
  return { y, x, c };
}

const scales = new Map();

/** Smallest and largest number of an array, or of every `step`-th one from `start`. */
function range(array, start = 0, step = 1) {
  let low = Infinity, high = -Infinity;
  for (let i = start; i < array.length; i += step) {
    if (array[i] < low) low = array[i];
    if (array[i] > high) high = array[i];
  }
  return [low, high];
}

function rangeOf(value, gradient) {
  const key = `${VALUES.indexOf(value)} ${gradient}`;
  if (!scales.has(key)) scales.set(key, range(gradient ? value.gradient : value.data));
  return scales.get(key);
}
