// Pictures of values: channels side by side, one channel enlarged, vectors as cells or bars.

const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
const roomFor = () => Math.max(document.getElementById("main").clientWidth - 24 * rem(), 200);

/** CSS pixels that one channel of a width gets in a mosaic. */
function tileWidth(columns) {
  const steps = [[4, 40], [8, 56], [16, 72], [32, 84], [64, 128]];
  return (steps.find(([most]) => columns <= most)?.[1] ?? 200) * rem();
}

/** How channels lie in a mosaic: columns and rows of tiles, and pixels of a tile and its gap. */
function layoutOf(value, room) {
  const n = value.channels.length;
  if (value.isVector) {
    const across = Math.min(n, Math.max(Math.floor(room / (13 * rem())), 1), 64);
    return { across, down: Math.ceil(n / across), gap: 0, width: 13 * rem() };
  }
  if (value.H === 1) return { across: 1, down: n, gap: 0, width: Math.min(room, 900 * rem()) };
  const width = tileWidth(value.W);
  const across = Math.max(Math.min(n, Math.floor(room / (width * (1 + 1 / value.W)))), 1);
  return { across, down: Math.ceil(n / across), gap: 1, width };
}

/** Draw channels of numbers, value.channels.length of them per place, on a canvas. */
function paint(canvas, value, data, places, { across, down, gap, edge }, scaleOf) {
  const [tall, wide] = [value.H + gap, value.W + gap];
  canvas.width = across * wide - gap;
  canvas.height = down * tall - gap;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const n = value.channels.length, pixels = new Uint32Array(image.data.buffer);
  places.forEach((place, k) => {
    const top = Math.floor(k / across) * tall, left = k % across * wide,
      shade = shades(scaleOf(place));
    for (let y = 0; y < value.H; y++) {
      for (let x = 0; x < value.W; x++) {
        pixels[(top + y) * canvas.width + left + x] = shade(data[(y * value.W + x) * n + place]);
      }
    }
  });
  if (edge) edges(image, value, places.length, across, edge);
  context.putImageData(image, 0, 0);
}

const SHADES = 511;  // odd, so that 0 has a shade of its own in the middle

/** Colours of a scale as pixels of an image, looked up. */
function shades(scale) {
  if (!scale.shades) {
    const bytes = new Uint8ClampedArray(4 * SHADES), span = scale.end - scale.start;
    for (let i = 0; i < SHADES; i++) {
      bytes.set([...scale.colour(scale.start + i / (SHADES - 1) * span), 255], 4 * i);
    }
    const colours = new Uint32Array(bytes.buffer), factor = (SHADES - 1) / (span || 1);
    scale.shades = (v) => colours[Math.min(Math.max(Math.round((v - scale.start) * factor), 0),
      SHADES - 1)];
  }
  return scale.shades;
}

/** Draw the gaps right of and below each tile, where the ground would hide where it ends. */
function edges(image, value, count, across, colour) {
  for (let k = 0; k < count; k++) {
    const top = Math.floor(k / across) * (value.H + 1), left = k % across * (value.W + 1);
    for (let i = 0; i <= Math.max(value.H, value.W); i++) {
      for (const [y, x] of [[Math.min(i, value.H), value.W], [value.H, Math.min(i, value.W)]]) {
        if (top + y < image.height && left + x < image.width) {
          image.data.set([...colour, 255], ((top + y) * image.width + left + x) * 4);
        }
      }
    }
  }
}

/** Colour scale of a value or its gradient: of all channels, or of each alone. */
function scaler(value, gradient) {
  const data = gradient ? value.gradient : value.data, [low, high] = rangeOf(value, gradient);
  const isImage = value === STEPS[0].out && !gradient;
  const make = (a, b) => (isImage ? greys(a, b) : scaleFor(a, b, gradient || low < 0));
  const common = make(low, high);
  const { signed } = common;
  if (!state.each || value.isVector) return { common, signed, of: () => common };
  const n = value.channels.length;
  const alone = value.channels.map((_, place) => make(...range(data, place, n)));
  return { common, signed, of: (place) => alone[place], each: true };
}

/** All channels of a value, clickable; `at` is the place that is marked. */
function mosaic(value, { gradient = false, at = null, onpick = null, label = "",
  room = roomFor() }) {
  const layout = layoutOf(value, room);
  if (scaler(value, gradient).signed && layout.gap) layout.edge = EDGES[theme];
  const scale = scaler(value, gradient);
  const places = value.channels.map((_, place) => place);
  const canvas = h("canvas", { "aria-hidden": true });
  paint(canvas, value, gradient ? value.gradient : value.data, places, layout, scale.of);
  const unit = layout.width / value.W;
  const box = h("div", {
    class: "mosaic", tabindex: onpick ? 0 : null, role: onpick ? "application" : "img",
    "aria-label": label + (onpick ? ". Arrow keys move the place, Page Up and Page Down the channel." : ""),
    style: `width:${canvas.width * unit}px`,
  }, canvas);
  if (at) box.append(...marks(value, layout, canvas, at));
  if (onpick) {
    box.addEventListener("click", (event) => onpick(...hit(value, layout, canvas, event)));
    box.addEventListener("keydown", (event) => moveBy(event, value, at, onpick));
  }
  const note = h("p", { class: "legend" }, h("span", {}, fmt(scale.common.start, 3)),
    h("i", { style: `background:${scale.common.gradient}` }),
      h("span", {}, fmt(scale.common.end, 3)),
    scale.each ? " at the strongest channel; each channel has a scale of its own" : "");
  return h("div", { class: "picture" }, h("div", { class: "scroll" }, box), note);
}

function marks(value, { across, gap }, canvas, { y, x, c }) {
  const place = value.place(c);
  if (place < 0) return [];
  const top = Math.floor(place / across) * (value.H + gap), left = place % across * (value.W + gap);
  return [frame(canvas, "tile", top, left, value.H, value.W),
          frame(canvas, "pixel", top + y, left + x, 1, 1)];
}

/** A rectangle over a canvas, in its pixels. */
function frame(canvas, name, top, left, height, width) {
  const share = (n, all) => `${n / all * 100}%`;
  return h("b", { class: name, style: `top:${share(top, canvas.height)};left:${share(left, canvas.width)};`
    + `height:${share(height, canvas.height)};width:${share(width, canvas.width)}` });
}

/** Row, column and channel under the pointer. */
function hit(value, { across, gap }, canvas, event) {
  const box = canvas.getBoundingClientRect();
  const column = Math.floor((event.clientX - box.left) / box.width * canvas.width);
  const row = Math.floor((event.clientY - box.top) / box.height * canvas.height);
  const k = Math.floor(row / (value.H + gap)) * across + Math.floor(column / (value.W + gap));
  const place = Math.min(Math.max(k, 0), value.channels.length - 1);
  return [Math.min(Math.max(row % (value.H + gap), 0), value.H - 1),
          Math.min(Math.max(column % (value.W + gap), 0), value.W - 1), value.channels[place]];
}

const MOVES = { ArrowUp: [-1, 0, 0], ArrowDown: [1, 0, 0], ArrowLeft: [0, -1, 0],
                ArrowRight: [0, 1, 0], PageUp: [0, 0, -1], PageDown: [0, 0, 1] };

function moveBy(event, value, at, onpick) {
  const move = MOVES[event.key];
  if (!move || !at) return;
  event.preventDefault();
  event.stopPropagation();
  const limit = (n, most) => Math.min(Math.max(n, 0), most - 1);
  const along = value.isVector ? move[0] + move[1] + move[2] : move[2];
  const place = limit(value.place(at.c) + along, value.channels.length);
  onpick(limit(at.y + move[0], value.H), limit(at.x + move[1], value.W), value.channels[place],
    true);
}

/** One channel, enlarged; `window` is a rectangle [top, left, height, width]. */
function enlarged(value, c, { gradient = false, at = null, window = null, onpick = null,
  label = "" }) {
  const scale = scaler(value, gradient), place = value.place(c);
  const side = Math.min(260 * rem(), roomFor() + 12);
  const unit = Math.min(side / Math.max(value.H, value.W), 36 * rem());
  const canvas = h("canvas", { "aria-hidden": true });
  paint(canvas, value, gradient ? value.gradient : value.data, [place],
    { across: 1, down: 1, gap: 0 }, scale.of);
  const box = h("div", { class: "mosaic large", role: "img", "aria-label": label,
    style: `width:${value.W * unit}px` }, canvas);
  if (window) box.append(frame(canvas, "window", ...window));
  if (at) box.append(frame(canvas, "pixel", at.y, at.x, 1, 1));
  if (onpick) {
    box.addEventListener("click", (event) => {
      const [y, x] = hit({ ...value, H: value.H, W: value.W, channels: [c] }, { across: 1, gap: 0 },
        canvas, event);
      onpick(y, x, c);
    });
  }
  return h("figure", {}, box, h("figcaption", {}, label));
}

/** Elements of a vector as bars with numbers, the largest first or in their order. */
function bars(value, { gradient = false, data = gradient ? value.gradient : value.data, at, onpick,
  most = 16, named = false }) {
  let order = Array.from(data.keys());
  const all = order.length <= most;
  if (!all) order = order.sort((a, b) => Math.abs(data[b]) - Math.abs(data[a])).slice(0, most);
  const largest = Math.max(...order.map((k) => Math.abs(data[k]))) || 1;
  const rows = order.map((k) => h("li", {}, h("button", {
    type: "button", class: "bar", "aria-pressed": String(at?.c === k),
      onclick: () => onpick(0, 0, k),
  }, h("span", { class: "name" }, named ? className(k) : String(k)),
  h("i", { class: data[k] < 0 ? "minus" : "plus",
    style: `width:${Math.abs(data[k]) / largest * 100}%` }),
  h("span", { class: "number" }, fmt(data[k])))));
  return h("div", {}, all ? null : h("p", { class: "quiet" },
      `The ${most} largest of ${whole(data.length)}:`),
           h("ol", { class: "bars" }, rows));
}

/** An image of three channels as a picture. */
function photo(value) {
  const [low, high] = rangeOf(value, false), span = high - low || 1;
  const canvas = h("canvas", { width: value.W, height: value.H, role: "img",
    "aria-label": "the input" });
  const context = canvas.getContext("2d"), image = context.createImageData(value.W, value.H);
  const unit = low >= 0 && high <= 1 ? (v) => v * 255 : (v) => (v - low) / span * 255;
  for (let i = 0; i < value.W * value.H; i++) {
    for (let k = 0; k < 3; k++) image.data[4 * i + k] = unit(value.data[value.C === 3 ? 3 * i + k
      : i * value.C]);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
