// Above all layers: the title and the switches, and a strip with a small picture of every layer.

function header() {
  const result = DATA.predicted === null ? ""
    : `predicted ${className(DATA.predicted)} (${fmt(DATA.probability, 3)})`
    + (DATA.label === DATA.predicted ? "" : `, label ${className(DATA.label)}`);
  const button = (text, title, action, pressed) => h("button",
    { type: "button", title, onclick: action,
    "aria-pressed": pressed === undefined ? null : String(pressed) }, text);
  const image = STEPS[0].out;
  return [image.H > 1 && [1, 3].includes(image.C) ? photo(image) : null,
    h("div", { class: "title" }, h("h1", {}, DATA.title),
      h("p", {}, [result, `loss ${fmt(DATA.loss, 4)}`,
      `${whole(DATA.parameters)} parameters`,
        `${whole(STEPS.reduce((n, s) => n + s.multiply_adds, 0))} multiply-adds`].filter(Boolean).join(" · "))),
    h("div", { class: "tools", role: "toolbar", "aria-label": "Steps and view" },
      button("◀ back", "the layer before (left arrow)", () => step(-1)),
      button("forward ▶", "the next layer (right arrow)", () => step(1)),
      button("gradients", "gradients in the strip (g)", () => toggle("gradients"), state.gradients),
      button("each channel", "a colour scale for each channel (e)", () => toggle("each"),
        state.each),
      button("large", "for a projector (l)", () => toggle("large"), state.large),
      button("dark", "dark or light (d)", () => toggle("dark"), state.dark))];
}

function stripView() {
  return h("ol", {}, STEPS.map((s) => h("li", {},
      h("a", { href: `#layer=${encodeURIComponent(key(s))}`,
    "aria-current": s.number === state.step ? "step" : null,
      title: `${s.name} (${s.kind}), ${shapeText(s.out.shape)}` },
  thumbnail(s), h("span", {}, s.name), h("small", {}, shapeText(s.out.shape))))));
}

/** The strongest channel of a map, or a vector as a column of cells. */
function thumbnail(s) {
  const out = s.out, gradient = state.gradients && out.gradient !== null;
  const canvas = h("canvas", { "aria-hidden": true });
  const { of } = scaler(out, gradient), data = gradient ? out.gradient : out.data;
  if (out.isVector) {
    const across = Math.ceil(Math.sqrt(out.channels.length));
    paint(canvas, out, data, out.channels.map((_, p) => p),
      { across, down: Math.ceil(out.channels.length / across), gap: 0 }, of);
  } else paint(canvas, out, data, [strongestChannel(s, data)], { across: 1, down: 1, gap: 0 }, of);
  return canvas;
}

function strongestChannel(s, data) {
  const n = s.out.channels.length, sums = new Float64Array(n);
  data.forEach((v, i) => { sums[i % n] += Math.abs(v); });
  return sums.indexOf(Math.max(...sums));
}
