// The way back: the gradient of a layer's output, of its weights, and of one place and its window.

function backward(step, at) {
  const out = step.out;
  const children = [h("p", { class: "quiet" },
    `${DATA.loss_text}${DATA.label === null ? "" : `; label ${className(DATA.label)}`}; L = ${fmt(DATA.loss, 5)}. `
    + "The gradient says how L changes if a value grows: red raises the loss, blue lowers it.")];
  if (out.gradient === null) {
    children.push(h("p", {}, "No gradient comes here: nothing before needs one."));
    return section("back", "The way back", ...children);
  }
  const pick = (y, x, c, focus) => select({ y, x, c }, focus ? "#back .mosaic" : null);
  const title = h("p", {}, `∂L/∂y, ${shapeText(out.shape)}, norm ${fmt(out.raw.gradient_norm)}`);
  const picture = out.isVector && out.C <= 16 ? bars(out, { gradient: true, at, onpick: pick,
    named: isOutput(step) })
    : mosaic(out, { gradient: true, at, onpick: pick,
      label: `gradient of the output of ${step.name}` });
  const before = logitGradients(step, at, pick);
  children.push(before ? h("div", { class: "pair" }, h("div", {}, title, picture), before)
    : h("div", {}, title, picture),
    spread(step, at), weightGradients(step));
  return section("back", "The way back", ...children);
}

/** Before softmax: the gradient of all z, for the cross-entropy the probabilities less the label. */
function logitGradients(step, at, pick) {
  const name = activationAfter(step)?.name;
  if (!BY_CHANNELS.includes(name) || !step.out.isVector) return null;
  const gradients = step.out.channels.map((c) => compute(step, 0, 0, c).atZ);
  const why = isOutput(step) && DATA.label !== null ? ": the probabilities, less 1 for the label"
    : "";
  return h("div", {}, h("p", {}, `∂L/∂z, before ${name}${why}`),
      bars(step.out, { data: gradients, at, onpick: pick, named: isOutput(step) }));
}

const isOutput = (step) => step.number === STEPS.length - 1;

/** What the gradient of the chosen place hands on to its inputs. */
function spread(step, at) {
  const made = compute(step, at.y, at.x, at.c);
  const name = indexText("y", step.out, at.y, at.x, at.c);
  const rows = [h("p", {}, `∂L/∂${name} = `, h("strong", {}, fmt(made.gradient, 4)),
    made.activation ? `; through ${made.activation.text}: ∂L/∂z = ${fmt(made.atZ, 4)}` : "")];
  if (!made.terms.length || Number.isNaN(made.atZ)) return h("div", {}, rows);
  if (made.terms.some((t) => t.d === null)) {
    rows.push(h("p", { class: "quiet" }, "It goes back through the mean and the variance as well, to all elements they are made of."));
    return h("div", {}, rows);
  }
  if (made.window && made.window[0] * made.window[1] > 1) return h("div", {}, rows,
      spreadGrid(step, at, made));
  return h("div", {}, rows, spreadList(step, made));
}

function spreadGrid(step, at, made) {
  const channel = inputChannel(step, at, made), terms = made.terms.filter((t) => t.c === channel);
  const largest = Math.max(...terms.map((t) => Math.abs(t.d * made.atZ)), 1e-30);
  const cellAt = (i, j) => {
    const term = terms.find((t) => t.i === i && t.j === j);
    return term ? { v: term.d * made.atZ, go: () => follow(step, 0, term.y, term.x, term.c) }
        : null;
  };
  const tables = [numberGrid(`∂L/∂z · ${step.kernel ? "w" : "∂z/∂x"}: what this place adds to the gradient of its window, input channel ${channel}`,
    made.window, cellAt, largest)];
  const slopes = step.kernel_gradient && kernelGradient(step, made, channel);
  if (slopes) tables.push(slopes);
  return h("div", { class: "row" }, tables);
}

function kernelGradient(step, made, channel) {
  const array = arrayOf(step.kernel_gradient), r = made.terms.find((t) => t.c === channel)?.r ?? 0;
  const [, columns, deep, filters] = array.shape, place = step.out.place(state.at.c);
  const at = (i, j) => array.data[((i * columns + j) * deep + r) * filters + place];
  const [low, high] = range(array.data);
  return numberGrid("∂L/∂w: gradient of this kernel, summed over all places", made.window,
    (i, j) => ({ v: at(i, j) }), Math.max(-low, high, 1e-30));
}

function spreadList(step, made) {
  const sorted = [...made.terms].sort((a, b) => Math.abs(b.d) - Math.abs(a.d)).slice(0, 8);
  const largest = Math.abs(sorted[0].d * made.atZ) || 1;
  const rows = sorted.map((t) => h("tr", {}, h("th", { scope: "row" }, termButton(step, t)),
    h("td", {}, fmt(t.d * made.atZ, 4)),
    h("td", { class: "barcell" }, h("i", { class: t.d * made.atZ < 0 ? "minus" : "plus",
      style: `width:${Math.abs(t.d * made.atZ) / largest * 100}%` }))));
  const caption = `What this place adds to the gradient of its inputs${made.terms.length > 8 ? ", the 8 largest" : ""}`;
  return h("div", { class: "scroll" }, table(caption, rows, { class: "terms" }));
}

function weightGradients(step) {
  if (!step.weights.length) return null;
  const head = h("tr", {}, ["weights", "shape", "norm", "norm of the gradient"].map((t) => h("th",
    { scope: "col" }, t)));
  const rows = step.weights.map((w) => h("tr", {}, h("th", { scope: "row" }, w.name),
    h("td", {}, shapeText(w.shape)),
    h("td", {}, fmt(w.norm)), h("td", {}, w.trained ? fmt(w.gradient_norm) : "not trained here")));
  return h("div", { class: "scroll" }, table("The weights of this layer", [head, ...rows],
      { class: "terms" }));
}
