// One layer: what it is, its formula, its output.

function layerView(step, at) {
  return [heading(step), facts(step), outputPart(step, at), worked(step, at), backward(step, at)];
}

function heading(step) {
  const links = (label, steps) => (steps.length ? h("p", { class: "links" }, `${label} `,
    steps.map((n) => h("a", { href: `#layer=${encodeURIComponent(key(STEPS[n]))}` },
      STEPS[n].name))) : null);
  return h("div", { class: "heading" },
    h("p", { class: "quiet" }, `${step.number} of ${STEPS.length - 1}`),
    h("h2", { id: "layer-title" }, step.name, " ", h("small", {}, step.kind)),
    links("takes", step.from), links("goes to", step.to));
}

function facts(step) {
  const count = step.weights.reduce((n, w) => n + w.count, 0);
  const items = [["input", step.ins.map((v) => shapeText(v.shape)).join(",  ") || "–"],
    ["output", shapeText(step.out.shape)],
      ["parameters", count ? `${whole(count)}${countText(step)}` : "0"],
    ["multiply-adds", step.multiply_adds ? `${whole(step.multiply_adds)}${workText(step)}` : "0"]];
  const list = h("dl", {}, items.map(([name, text]) => h("div", {}, h("dt", {}, name),
    h("dd", {}, text))));
  return h("div", { class: "facts" },
    h("div", {}, list, step.words.length ? h("p", {}, `${step.words.join("; ")}.`) : null,
      sizeText(step)),
    h("div", {}, step.formulas.map(formula), step.letters ? h("p", { class: "quiet letters" },
      `${step.letters}.`) : null));
}

/** How the number of parameters comes about: lengths of each weight multiplied. */
function countText(step) {
  const parts = step.weights.map((w) => w.shape.join(" · ") || "1");
  return parts.length ? ` = ${parts.join(" + ")}` : "";
}

/** How the multiply-adds come about: every weight once at every place. */
function workText(step) {
  const { H, W } = step.view === "conv_transpose" ? step.ins[0] : step.out;
  const weights = step.multiply_adds / (H * W);
  return H * W > 1 && Number.isInteger(weights)
      ? ` = ${H} · ${W} places × ${whole(weights)} weights` : "";
}

/** How the output's rows follow from the input's, where a window moves. */
function sizeText(step) {
  const rows = step.window?.[0] ?? step.kernel?.shape[0];
  if (!["conv", "max_pool", "average_pool"].includes(step.view) || step.ins[0].H === 1) return null;
  const span = (rows - 1) * (step.dilation?.[0] ?? 1) + 1, from = step.ins[0].H, s = step.stride[0];
  const pads = (step.out.H - 1) * s + span - from;
  const padded = pads > 0 && step.before[0] + pads > 0 && pads >= step.before[0]
    ? ` + ${pads} of padding` : "";
  return h("p", { class: "quiet" }, `Rows: floor((${from}${padded} − ${span}) / ${s}) + 1 = ${step.out.H}.`);
}

function outputPart(step, at) {
  const out = step.out, pick = (y, x, c, focus) => select({ y, x, c }, focus ? "#output .mosaic"
    : null);
  const few = !out.isWhole ? h("p", { class: "note" },
    `This page shows ${out.channels.length} of ${out.C} channels, the strongest.`) : null;
  const picture = out.isVector && out.C <= 16 ? bars(out, { at, onpick: pick,
    named: isOutput(step) })
    : mosaic(out, { at, onpick: pick, label: `output of ${step.name}: ${shapeText(out.shape)}` });
  const more = out.isVector && out.C > 16 ? bars(out, { at, onpick: pick, most: 8,
    named: isOutput(step) }) : null;
  const image = step.view === "input" && out.H > 1 && [1, 3].includes(out.C)
    ? h("figure", { class: "photo" }, photo(out)) : null;
  return section("output", "Output", few, image, picture, more, chooser(step, at));
}

/** Row, column and channel as numbers, for keyboards and exact work. */
function chooser(step, at) {
  const out = step.out;
  const field = (name, text, most, value) => (most > 1 ? h("label", {}, `${text} `, h("input", {
    type: "number", min: 0, max: most - 1, value, name,
    onchange: (event) => select({ ...at, [name]: Number(event.target.value) },
      `#output [name=${name}]`) })) : null);
  return h("div", { class: "chooser", role: "group", "aria-label": "Chosen place" },
    field("c", out.isVector ? "element" : "channel", out.C, at.c), field("y", "row", out.H, at.y),
      field("x", "column", out.W, at.x),
    h("output", {}, `y = ${fmt(out.at(at.y, at.x, at.c), 6)}`));
}
