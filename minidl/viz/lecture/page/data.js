// The data of the page: numbers in base64, values between layers, steps.

const DATA = JSON.parse(document.getElementById("data").textContent);
const decoded = new Map();

/** Numbers of an array as a typed array; float16 comes with a scale. */
function numbers(ref) {
  if (ref === null || ref === undefined) return null;
  if (!decoded.has(ref)) decoded.set(ref, decode(DATA.arrays[ref]));
  return decoded.get(ref);
}

function decode({ kind, scale, data }) {
  const text = atob(data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  if (kind === "f4") return new Float32Array(bytes.buffer);
  if (kind === "i4") return new Int32Array(bytes.buffer);
  const halves = new Uint16Array(bytes.buffer);
  return Float32Array.from(halves, (half) => scale * fromHalf(half));
}

/** IEEE 754 binary16: 1 bit sign, 5 bits exponent, 10 bits fraction. */
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
}

/** An array of a step: its numbers and its shape. */
function arrayOf(item) {
  return item ? { data: numbers(item.array), shape: item.shape } : null;
}

/** What lies between layers, as a map of H rows, W columns and C channels; some are kept. */
class Value {
  constructor(raw) {
    [this.H, this.W, this.C] = raw.map;
    this.raw = raw;
    this.shape = raw.shape;
    this.channels = raw.kept ?? Array.from({ length: this.C }, (_, c) => c);
    this.places = raw.kept ? new Map(raw.kept.map((c, i) => [c, i])) : null;
  }
  get data() { return numbers(this.raw.data); }
  get gradient() { return numbers(this.raw.gradient); }
  get isVector() { return this.H === 1 && this.W === 1; }
  get isWhole() { return this.places === null; }

  place(c) {
    if (this.places) return this.places.get(c) ?? -1;
    return c >= 0 && c < this.C ? c : -1;
  }
  index(y, x, c) {
    const place = this.place(c);
    const inside = y >= 0 && x >= 0 && y < this.H && x < this.W;
    return place < 0 || !inside ? -1 : (y * this.W + x) * this.channels.length + place;
  }
  /** The value at a place; NaN where the page does not hold it. */
  at(y, x, c) {
    const i = this.index(y, x, c);
    return i < 0 ? NaN : this.data[i];
  }
  gradientAt(y, x, c) {
    const i = this.index(y, x, c);
    return i < 0 || !this.gradient ? NaN : this.gradient[i];
  }
  /** Row, column and channel of an element by its number in the whole array. */
  unravel(n) {
    return [Math.floor(n / (this.C * this.W)), Math.floor(n / this.C) % this.W, n % this.C];
  }
  ravel(y, x, c) { return (y * this.W + x) * this.C + c; }
  /** Row, column and channel of the number i among those that are kept. */
  stored(i) {
    const n = this.channels.length;
    return [Math.floor(i / (n * this.W)), Math.floor(i / n) % this.W, this.channels[i % n]];
  }
}

const VALUES = DATA.values.map((raw) => new Value(raw));
const STEPS = DATA.steps;
STEPS.forEach((step, number) => {
  step.number = number;
  step.out = VALUES[step.output];
  step.ins = step.inputs.map((n) => VALUES[n]);
  step.to = [];
});
STEPS.forEach((step) => [...new Set(step.from)].forEach((n) => STEPS[n].to.push(step.number)));
