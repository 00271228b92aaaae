// Colours of numbers: one scale for values of one sign, a diverging one centred at 0.

const VIRIDIS = [[68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142],
                 [31, 158, 137], [53, 183, 121], [109, 205, 89], [180, 222, 44], [253, 231, 37]];
const BLUES = { light: [[247, 247, 247], [146, 197, 222], [33, 102, 172], [5, 48, 97]],
                dark: [[24, 26, 30], [24, 78, 130], [67, 147, 205], [160, 215, 250]] };
const REDS = { light: [[247, 247, 247], [244, 165, 130], [190, 40, 50], [103, 0, 31]],
               dark: [[24, 26, 30], [130, 40, 35], [225, 100, 70], [255, 205, 165]] };

const EDGES = { light: [190, 196, 205], dark: [75, 82, 94] };

let theme = "light";

function along(anchors, t) {
  const at = Math.min(Math.max(t, 0), 1) * (anchors.length - 1);
  const i = Math.min(Math.floor(at), anchors.length - 2), rest = at - i;
  return anchors[i].map((v, k) => v + rest * (anchors[i + 1][k] - v));
}

/** Colour [r, g, b] of a number between -1 and 1, 0 in the middle. */
function diverging(t) {
  return along(t < 0 ? BLUES[theme] : REDS[theme], Math.abs(t));
}

/** A scale for numbers in [low, high]: its colours, its ends, and its gradient for CSS. */
function scaleFor(low, high, signed = low < 0) {
  const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const [start, end] = signed ? [-most, most] : [0, most];
  const colour = signed ? (v) => diverging(v / most) : (v) => along(VIRIDIS, v / most);
  const stops = Array.from({ length: 13 }, (_, i) => css(colour(start + i / 12 * (end - start))));
  return { colour, start, end, signed, gradient: `linear-gradient(to right, ${stops.join(", ")})` };
}

function greys(low, high) {
  const span = high - low || 1;
  const colour = (v) => Array(3).fill(255 * (v - low) / span);
  return { colour, start: low, end: high, gradient: "linear-gradient(to right, #000, #fff)" };
}

function css([r, g, b]) {
  return `rgb(${Math.round(r)}, ${Math.round(g)}, ${Math.round(b)})`;
}

/** Black or white, whichever is readable on a colour. */
function inkOn([r, g, b]) {
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000" : "#fff";
}
