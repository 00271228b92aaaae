// Activation functions and their slopes, by the names that the engine gives them.

const sigmoid = (z) => 1 / (1 + Math.exp(-z));

/** Error function: its series near 0, the continued fraction of its complement elsewhere. */
function erf(x) {
  if (x < 0) return -erf(-x);
  if (x > 6) return 1;
  if (x < 2.5) {
    let term = x, sum = x;
    for (let n = 1; n < 80; n++) {
      term *= -x * x / n;
      sum += term / (2 * n + 1);
    }
    return 2 / Math.sqrt(Math.PI) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (x + fraction);
  return 1 - Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + fraction);
}

const normal = (z) => 0.5 * (1 + erf(z * Math.SQRT1_2));

/** By name: [f(z, activation), f'(z, y, activation)]. */
const ACTIVATIONS = {
  linear: [(z) => z, () => 1],
  relu: [(z) => Math.max(z, 0), (z) => (z > 0 ? 1 : 0)],
  sigmoid: [sigmoid, (z, y) => y * (1 - y)],
  tanh: [Math.tanh, (z, y) => 1 - y * y],
  elu: [(z, a) => (z >= 0 ? z : a.alpha * Math.expm1(z)),
        (z, y, a) => (z >= 0 ? 1 : y + a.alpha)],
  leaky_relu: [(z, a) => (z >= 0 ? z : a.alpha * z), (z, y, a) => (z >= 0 ? 1 : a.alpha)],
  softplus: [(z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))), sigmoid],
  gelu: [(z) => z * normal(z),
         (z) => normal(z) + z * Math.exp(-z * z / 2) / Math.sqrt(2 * Math.PI)],
  silu: [(z) => z * sigmoid(z), (z) => sigmoid(z) * (1 + z * (1 - sigmoid(z)))],
  relu6: [(z) => Math.min(Math.max(z, 0), 6), (z) => (z > 0 && z < 6 ? 1 : 0)],
  exp: [Math.exp, (z, y) => y],
  relu_general: [(z, a) => Math.min(bent(z, a), a.max ?? Infinity),
                 (z, y, a) => (bent(z, a) > (a.max ?? Infinity) ? 0
                   : z >= a.threshold ? 1 : a.alpha)],
};

function bent(z, a) {
  return z >= a.threshold ? z : a.alpha * (z - a.threshold);
}
