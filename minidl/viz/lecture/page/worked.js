// How one output comes about: window, kernel, products, sum; or a list of terms; then f(z).

const MOST_TERMS = 12;

function worked(step, at) {
  const made = compute(step, at.y, at.x, at.c);
  const title = `How ${indexText("y", step.out, at.y, at.x, at.c)} = ${fmt(made.engine, 6)} comes about`;
  const parts = [made.window || made.whole ? windowPart(step, at, made) : null,
                 made.list ? listPart(step, made) : null,
                 made.moved || made.padding ? movedPart(step, made) : null,
                 made.parts ? namedPart(made.parts) : null,
                 softmaxPart(step, at, made),
                 h("div", { class: "row" }, step.out.isVector ? null : outputFigure(step, at),
                   COMPUTE[step.view] ? sumPart(step, at, made) : null)];
  if (step.view === "input") parts.push(h("p", {}, "This is the input: nothing is computed."));
  else if (!COMPUTE[step.view]) {
    parts.push(h("p", {}, "This page has no calculation for layers of this class; it shows what "
      + "the engine computed."));
  }
  return section("worked", title, ...parts);
}

function outputFigure(step, at) {
  return enlarged(step.out, at.c, { at, label: `output, channel ${at.c}`,
    onpick: (y, x, c) => select({ y, x, c }) });
}

// ---- windows -------------------------------------------------------------------------------

function windowPart(step, at, made) {
  const from = step.ins[0], channel = inputChannel(step, at, made);
  const terms = made.terms.filter((t) => t.c === channel);
  const figures = [inputFigure(step, made, channel, terms)];
  if (made.window && made.window[0] * made.window[1] > 1) {
    figures.push(...numberTables(step, made, channel, terms));
  }
  return h("div", {}, step.kernel ? channelPicker(step, made, channel) : null,
    made.window && made.window[0] * made.window[1] === 1 ? listPart(step, made) : null,
    h("div", { class: "row" }, figures.filter(Boolean)),
    made.winner ? winnerText(step, from, made) : null);
}

/** The input channel that is shown: the chosen one, else that with the largest sum. */
function inputChannel(step, at, made) {
  if (!step.kernel) return made.terms[0]?.c ?? at.c;
  const sums = sumsByChannel(made);
  if (sums.has(state.input) || !sums.size) return state.input ?? 0;
  return [...sums].reduce((a, b) => (Math.abs(b[1]) > Math.abs(a[1]) ? b : a), [at.c, 0])[0];
}

function sumsByChannel(made) {
  const sums = new Map();
  made.terms.forEach((t) => sums.set(t.c, (sums.get(t.c) ?? 0) + t.v * t.w));
  return sums;
}

function channelPicker(step, made, chosen) {
  const sums = sumsByChannel(made), largest = Math.max(...[...sums.values()].map(Math.abs)) || 1;
  if (sums.size < 2) return null;
  const buttons = [...sums].map(([c, sum]) => {
    const colour = diverging(sum / largest);
    return h("button", { type: "button", "aria-pressed": String(c === chosen), class: "chip",
      style: `background:${css(colour)};color:${inkOn(colour)}`,
        title: `input channel ${c}: sum of its products ${fmt(sum)}`,
      onclick: () => { state.input = c; show(); } }, String(c));
  });
  return h("div", { class: "chips", role: "group", "aria-label": "Input channels" },
    h("p", { class: "quiet" }, "Input channels, coloured by the sum of their products "
      + "(red: positive, blue: negative). Choose one:"), buttons);
}

function inputFigure(step, made, channel, terms) {
  const from = step.ins[0];
  if (from.place(channel) < 0) {
    return h("p", { class: "quiet" }, `Channel ${channel} of the input is not on this page.`);
  }
  const rows = terms.map((t) => t.y), columns = terms.map((t) => t.x);
  const top = Math.min(...rows), left = Math.min(...columns);
  const window = terms.length && !made.whole
    ? [top, left, Math.max(...rows) - top + 1, Math.max(...columns) - left + 1] : null;
  return enlarged(from, channel, { window, at: made.winner ?? null,
      label: `input, channel ${channel}`,
    onpick: (y, x, c) => follow(step, 0, y, x, c) });
}

function numberTables(step, made, channel, terms) {
  const cell = (i, j) => terms.find((t) => t.i === i && t.j === j);
  const low = (key) => Math.max(...terms.map((t) => Math.abs(key(t))), 1e-30);
  const grid = (caption, key, common) => numberGrid(caption, made.window, (i, j) => {
    const term = cell(i, j);
    return term ? { v: key(term), won: term.won, go: common ? null
        : () => follow(step, 0, term.y, term.x, term.c) } : null;
  }, low(key));
  const tables = [grid("x, the window", (t) => t.v, false)];
  if (!step.kernel) return tables;
  const sum = terms.reduce((s, t) => s + t.v * t.w, 0);
  return [tables[0], sign("×"), kernelGrid(step, made, channel), sign("="),
          grid("x · w, the products", (t) => t.v * t.w, true), sign(`Σ = ${fmt(sum)}`)];
}

const sign = (text) => h("span", { class: "sign" }, text);

/** Numbers of a window as a table of colours; `cellAt` gives what stands at (i, j), or nothing. */
function numberGrid(caption, [rows, columns], cellAt, largest) {
  const lines = Array.from({ length: rows }, (_, i) => h("tr", {},
    Array.from({ length: columns }, (_, j) => numberCell(cellAt(i, j), largest))));
  const numbers = h("table", { class: rows * columns > 49 ? "grid small" : "grid",
    "aria-label": caption }, h("tbody", {}, lines));
  return h("div", { class: "scroll gridbox" }, h("p", { class: "quiet", "aria-hidden": true },
      caption), numbers);
}

function numberCell(cell, largest) {
  if (!cell) return h("td", { class: "none", title: "padding, or not on this page" }, "0");
  const colour = diverging(cell.v / largest);
  return h("td", { class: cell.won ? "won" : null, title: String(cell.v), onclick: cell.go,
    style: `background:${css(colour)};color:${inkOn(colour)}` }, fmt(cell.v, 3));
}

/** The kernel of one input and one output channel: all its weights, over padding too. */
function kernelGrid(step, made, channel) {
  const kernel = arrayOf(step.kernel), r = made.terms.find((t) => t.c === channel)?.r ?? 0;
  const place = step.out.place(state.at.c), [, columns, deep, filters] = kernel.shape;
  const at = (i, j) => kernel.data[((i * columns + j) * deep + r) * filters + place];
  const [low, high] = range(kernel.data);
  return numberGrid("w, the kernel", made.window, (i, j) => ({ v: at(i, j) }),
      Math.max(-low, high, 1e-30));
}

function winnerText(step, from, made) {
  const { y, x, c, v } = made.winner;
  return h("p", {}, `The largest element is ${fmt(v, 6)} at ${placeText(from, y, x, c)}; it alone gets the gradient. `,
    h("button", { type: "button", onclick: () => follow(step, 0, y, x, c) }, "Go there"));
}

// ---- lists ---------------------------------------------------------------------------------

/** Terms, the largest first: what is multiplied, or what is combined. */
function listPart(step, made) {
  const key = (t) => (t.w === undefined ? t.v : t.v * t.w);
  const sorted = [...made.terms].sort((a, b) => Math.abs(key(b)) - Math.abs(key(a)));
  const largest = Math.abs(key(sorted[0] ?? { v: 0 })) || 1;
  const heads = made.terms[0]?.w === undefined ? ["value"] : ["x", "w", "x · w"];
  const cells = (t) => (t.w === undefined ? [t.v] : [t.v, t.w, t.v * t.w]);
  const rows = sorted.slice(0, MOST_TERMS).map((t) => h("tr", { class: t.won ? "won" : null },
    h("th", { scope: "row" }, termButton(step, t)),
    cells(t).map((v) => h("td", {}, fmt(v, 5))),
    h("td", { class: "barcell" }, h("i", { class: key(t) < 0 ? "minus" : "plus",
      style: `width:${Math.abs(key(t)) / largest * 100}%` }))));
  const more = sorted.length - rows.length;
  const others = sorted.slice(MOST_TERMS).reduce((s, t) => s + key(t), 0);
  if (more > 0) {
    rows.push(h("tr", {}, h("th", { scope: "row" }, `${whole(more)} others`),
      heads.slice(1).map(() => h("td", {})),
      h("td", {}, fmt(others, 5)), h("td", {})));
  }
  const head = h("tr", {}, h("th", { scope: "col" }, "from"),
    heads.map((t) => h("th", { scope: "col" }, t)), h("td", {}));
  return h("div", { class: "scroll" }, table("The terms, the largest first", [head, ...rows],
      { class: "terms" }));
}

/** The exponentials and their sum, of softmax as a layer or at the end of one. */
function softmaxPart(step, at, made) {
  const asLayer = BY_CHANNELS.includes(step.view);
  if (!asLayer && !BY_CHANNELS.includes(made.activation?.name)) return null;
  if (!asLayer && !step.out.isWhole) return null;
  const channels = asLayer ? made.terms.map((t) => t.c) : step.out.channels;
  const zs = asLayer ? made.terms.map((t) => t.v) : sums(step, made.activation, at.y, at.x).zs;
  const log = asLayer ? made.log : sums(step, made.activation, at.y, at.x).log,
    most = Math.max(...zs);
  const order = [...zs.keys()].sort((a, b) => zs[b] - zs[a]), name = asLayer ? "x" : "z";
  const top = order.slice(0, MOST_TERMS);
  const place = channels.indexOf(at.c);
  if (place >= 0 && !top.includes(place)) top.push(place);
  const row = (k) => h("tr", { class: channels[k] === at.c ? "chosen" : null },
    h("th", { scope: "row" }, isOutput(step) ? className(channels[k]) : String(channels[k])),
    [zs[k], Math.exp(zs[k] - most), Math.exp(zs[k] - log)].map((v) => h("td", {}, fmt(v, 5))));
  const whole = h("tr", { class: "result" }, h("th", { scope: "row" }, `sum of ${step.out.C}`),
    h("td", {}), h("td", {}, fmt(Math.exp(log - most), 5)), h("td", {}, "1"));
  const heads = ["", name, `e^(${name} − max)`, "share of the sum"].map((t) => h("th",
    { scope: "col" }, t));
  return h("div", { class: "scroll" }, table(`The exponentials; the largest ${name}, ${fmt(most, 5)}, is subtracted so that none is too large`,
    [h("tr", {}, heads), ...top.map(row), whole], { class: "terms" }));
}

function termButton(step, t) {
  const from = step.ins[t.input], name = STEPS[step.from[t.input]].name;
  return h("button", { type: "button", class: "link", title: "Go there",
    onclick: () => follow(step, t.input, t.y, t.x, t.c) }, indexText(name, from, t.y, t.x, t.c));
}

function movedPart(step, made) {
  if (made.padding) return h("p", {}, "This place is padding: it is 0.");
  return h("p", {}, "It is the element ", termButton(step, made.terms[0]), " as it is.");
}

function namedPart(parts) {
  const rows = Object.entries(parts).map(([name, v]) => h("tr", {}, h("th", { scope: "row" }, name),
    h("td", {}, fmt(v, 6))));
  return table("The numbers of the formula", rows, { class: "terms" });
}

// ---- the sum -------------------------------------------------------------------------------

const Z = { conv: "z", conv_transpose: "z", dense: "z", batch_norm: "z", add: "sum" };

function sumPart(step, at, made) {
  const rows = [];
  const add = (name, v, kind) => rows.push(h("tr", { class: kind }, h("th", { scope: "row" }, name),
    h("td", {}, fmt(v, 7))));
  if (step.kernel || step.top) {
    const used = new Set(made.terms.map((t) => t.c)).size;
    add(step.view === "dense" ? `sum of ${whole(made.terms.length)} products`
      : `sum of ${whole(made.terms.length)} products, `
      + `${whole(used)} input channel${used === 1 ? "" : "s"}`, total(made.terms));
    if (made.rest !== null) add(step.view === "dense" ? "all other products"
        : "input channels that are not on this page", made.rest);
    if (made.bias !== null) add(`bias b[${at.c}]`, made.bias);
  }
  if (made.count) add(`mean of ${whole(made.count)} elements`, made.z);
  if (made.log !== undefined) add("logarithm of the sum of exponentials", made.log);
  if (made.activation) {
    add(Z[step.view] ?? "x", made.z);
    if (BY_CHANNELS.includes(made.activation.name)) add("logarithm of the sum of exponentials of all z", sums(step, made.activation, at.y, at.x).log);
  }
  const name = made.activation ? `y = ${made.activation.text}(${Z[step.view] ?? "x"})` : "y";
  add(name, made.value, "result");
  add("the engine's value", made.engine);
  const [low, high] = rangeOf(step.out, false), scale = Math.max(-low, high, 1e-12);
  const good = Math.abs(made.difference) <= 1e-4 * scale;
  rows.push(h("tr", { class: good ? "good" : "bad" }, h("th", { scope: "row" }, "difference"),
    h("td", {}, Number.isNaN(made.difference) ? "not computed here"
      : `${fmt(made.difference, 2)} ${good ? "✓" : "✗"}`)));
  return table("The sum", rows, { class: "sum" });
}
