// Elements of the page and texts of numbers. Names come in as text, never as HTML.

/** Make an element; `on...` attributes are functions, children are elements or texts. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  Object.entries(attributes).forEach(([name, value]) => {
    if (value === null || value === undefined || value === false) return;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") element.style.cssText = value;
    else element.setAttribute(name, value === true ? "" : value);
  });
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A formula; the text is MathML that the page's maker wrote. */
function formula(mathml) {
  const box = h("div", { class: "formula" });
  box.innerHTML = mathml;
  return box;
}

/** A number in about `digits` digits, with a true minus sign. */
function fmt(v, digits = 4) {
  if (v === null || v === undefined || Number.isNaN(v)) return "–";
  if (v === 0) return "0";
  const size = Math.abs(v);
  if (size >= 1e-4 && size < 1e6) return String(Number(v.toPrecision(digits))).replace("-", "−");
  const [front, power] = v.toExponential(Math.max(digits - 2, 1)).split("e");
  return `${front.replace("-", "−")}·10${raised(Number(power))}`;
}

/** A whole number in raised digits. */
function raised(n) {
  return String(n).replace(/-/g, "⁻").replace(/\d/g, (d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[d]);
}

const whole = (n) => n.toLocaleString("en");
const shapeText = (shape) => shape.join(" × ") || "1";
const hidden = (text) => h("span", { class: "hidden" }, text);

function className(k) {
  return DATA.classes?.[k] ?? String(k);
}

/** How a place is called: channel, row and column, as far as there are several. */
function placeText(value, y, x, c) {
  const parts = [];
  if (value.H > 1) parts.push(`row ${y}`);
  if (value.W > 1) parts.push(`column ${x}`);
  const unit = value.isVector ? "element" : "channel";
  return [`${unit} ${c}`, ...parts].join(", ");
}

/** An index as in a formula: name[row, column, channel]. */
function indexText(name, value, y, x, c) {
  const at = [value.H > 1 ? y : null, value.W > 1 ? x : null, c];
  return `${name}[${at.filter((i) => i !== null).join(", ")}]`;
}

function table(caption, rows, attributes = {}) {
  return h("table", attributes, h("caption", {}, caption), h("tbody", {}, rows));
}

function section(id, title, ...children) {
  return h("section", { "aria-labelledby": `${id}-title`, id },
           h("h3", { id: `${id}-title` }, title), ...children);
}
