// What is shown now; keys, links such as #layer=conv2&y=3&x=4&c=2, and what scripts may call.

const state = { step: 0, at: { y: 0, x: 0, c: 0 }, input: null, each: false, gradients: false,
                large: false, dark: false };
const remembered = new Map();

/** A step's name, with its number where a layer is called more than once. */
function key(s) {
  return STEPS.some((o) => o !== s && o.name === s.name) ? `${s.name}@${s.number}` : s.name;
}

function find(name) {
  if (typeof name === "number") return STEPS[name];
  return STEPS.find((s) => key(s) === name) ?? STEPS.find((s) => s.name === name);
}

/** Show a layer: the place that was chosen there before, or its strongest. */
function open(number, at = null) {
  state.step = Math.min(Math.max(number, 0), STEPS.length - 1);
  state.input = null;
  state.at = at ?? remembered.get(state.step) ?? strongest(STEPS[state.step]);
  place();
}

/** Choose a place in the layer that is shown; what the page does not hold is left out. */
function select(at, focus = null) {
  if (STEPS[state.step].out.index(at.y, at.x, at.c) >= 0) state.at = { y: at.y, x: at.x, c: at.c };
  place(focus);
}

/** Go to the layer that made an input, at a place of it. */
function follow(s, input, y, x, c) {
  open(s.from[input], { y, x, c });
}

function step(by) {
  open(state.step + by);
}

function toggle(name) {
  state[name] = !state[name];
  if (name === "dark") theme = state.dark ? "dark" : "light";
  show(null, true);
}

/** Write the place into the address, without a new entry for every pixel, and show it. */
function place(focus = null) {
  remembered.set(state.step, state.at);
  const { y, x, c } = state.at;
  const text = `#layer=${encodeURIComponent(key(STEPS[state.step]))}&y=${y}&x=${x}&c=${c}`;
  if (location.hash !== text) {
    try { history.replaceState(null, "", text); } catch { /* a frame without an address */ }
  }
  show(focus);
}

function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const s = find(given.get("layer") ?? "") ?? STEPS[0];
  const chosen = ["y", "x", "c"].some((name) => given.has(name));
  const at = Object.fromEntries(["y", "x", "c"].map((name) => [name,
    Number(given.get(name) ?? 0)]));
  open(s.number, chosen && s.out.index(at.y, at.x, at.c) >= 0 ? at : null);
}

let shownStep = -1;

function show(focus = null, all = false) {
  const root = document.documentElement, s = STEPS[state.step];
  root.dataset.theme = theme;
  root.classList.toggle("huge", state.large);
  const moved = shownStep !== state.step;
  if (all || moved) {
    document.getElementById("top").replaceChildren(...header().filter(Boolean));
    document.getElementById("strip").replaceChildren(stripView());
  }
  const top = document.scrollingElement.scrollTop;
  document.getElementById("main").className = s.out.isVector ? "vector" : "";
  document.getElementById("main").replaceChildren(...layerView(s, state.at));
  document.scrollingElement.scrollTop = top;
  shownStep = state.step;
  if (moved) document.querySelector("#strip [aria-current]")?.scrollIntoView({ block: "nearest",
      inline: "center" });
  if (focus) document.querySelector(focus)?.focus();
  const { y, x, c } = state.at;
  document.getElementById("live").textContent = `${s.name}, ${placeText(s.out, y, x, c)}: ${fmt(s.out.at(y, x, c))}`;
}

const KEYS = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), Home: () => open(0),
  End: () => open(STEPS.length - 1),
               g: () => toggle("gradients"), e: () => toggle("each"), l: () => toggle("large"),
                 d: () => toggle("dark") };

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey
      || event.target.matches("input")) return;
  const action = KEYS[event.key];
  if (action) { event.preventDefault(); action(); }
});

addEventListener("hashchange", fromAddress);
let waiting = 0, seenWidth = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === seenWidth) return;
  seenWidth = innerWidth;
  clearTimeout(waiting);
  waiting = setTimeout(() => show(null, true), 150);
});

document.getElementById("foot").append("Computed in use: dropout is off, batch normalisation takes its moving statistics. ",
  DATA.channels === "all" ? "" : `Channels that the page holds: ${DATA.channels}; values shown are exact. `,
  "Gradients are rounded to three digits. Keys: left and right for the layers, g, e, l, d for the switches.");

const dark = matchMedia("(prefers-color-scheme: dark)");
state.dark = dark.matches;
theme = state.dark ? "dark" : "light";
dark.addEventListener("change", () => { if (state.dark !== dark.matches) toggle("dark"); });

/** For links, tests and the console. */
window.lecture = {
  steps: STEPS.map((s) => ({ name: s.name, kind: s.kind, view: s.view, key: key(s) })),
  open: (name) => open(find(name).number),
  select: (name, y, x, c) => { open(find(name).number,
    { y, x, c }); return compute(STEPS[state.step], y, x, c); },
  compute: (name, y, x, c) => compute(find(name), y, x, c),
  state, step, toggle, checkValues, checkGradients,
};

fromAddress();
