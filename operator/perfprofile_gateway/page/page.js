"use strict";
// The flame graph of one profile. Data: perfprofile_gateway/flamegraph.py says its shape. Everything shown goes through textContent or
// fillText, never through HTML.

const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const canvas = element("graph"), search = element("search"), group = element("group"), reset = element("reset"), tip = element("tip");
const pen = canvas.getContext("2d");
const ROW = 20, GAP = 1, LEAST_PIXELS = 0.4, TEXT_FROM = 28;
const KERNEL = 1, GROUP = 2;

// ---- The trees: parallel lists in preorder, with parents, ends and left edges found in one pass each

function grow(tree) {
  const size = tree.frame.length;
  const parent = new Int32Array(size).fill(-1), end = new Int32Array(size).fill(size), left = new Float64Array(size);
  const rows = [], path = [], filled = [];
  for (let node = 0; node < size; node++) {
    const depth = tree.depth[node];
    while (path.length > depth) end[path.pop()] = node;
    if (depth > 0) {
      parent[node] = path[depth - 1];
      left[node] = filled[depth - 1];
      filled[depth - 1] += tree.weight[node];
    }
    filled[depth] = left[node];
    path.push(node);
    (rows[depth] ||= []).push(node);
  }
  return { ...tree, size, parent, end, left, rows };
}

const grown = {};
let tree, zoomed = 0, selected = -1, matches = new Set();

function plant(name) {
  tree = grown[name] ||= grow(data[name]);
  zoomed = 0;
  selected = -1;
  element("selected").textContent = "";
}

// ---- Words for numbers

const SCALES = [[3.6e12, "h"], [6e10, "min"], [1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]];
function amount(value) {
  if (data.unit !== "nanoseconds") return value.toLocaleString("en") + (data.unit === "count" ? "" : " " + data.unit);
  const [size, name] = SCALES.find(([size]) => value >= size) || SCALES.at(-1);
  return (value / size).toLocaleString("en", { maximumFractionDigits: value / size < 10 ? 2 : 1 }) + " " + name;
}
const share = (value) => (100 * value / (tree.weight[0] || 1)).toFixed(value / tree.weight[0] < 0.1 ? 2 : 1) + " %";
const nameOf = (node) => data.names[tree.frame[node]];
const kindOf = (node) => data.kindOf[tree.frame[node]];
function whereOf(node) {
  const module = data.modules[data.moduleOf[tree.frame[node]]];
  return kindOf(node) === KERNEL ? "kernel " + module : module;
}

// ---- Colours: by kind, and within programs by package, so that a library's functions look related

const HUES = [14, 26, 36, 45, 20, 6, 50, 40, 31, 352];
function packageOf(name) {
  const plain = name.replace(/[<(\[{].*$/, "");
  const cut = Math.max(plain.lastIndexOf("::"), plain.lastIndexOf("/") >= 0 ? plain.indexOf(".", plain.lastIndexOf("/")) : plain.indexOf("."));
  return cut > 0 ? plain.slice(0, cut) : "";
}
function hash(text) {
  let value = 2166136261;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 16777619);
  return (value ^ (value >>> 15)) >>> 0;
}
const colours = new Map();
function colourOf(frame, dark) {
  const key = frame * 2 + (dark ? 1 : 0);
  let colour = colours.get(key);
  if (colour === undefined) colours.set(key, (colour = mix(frame, dark)));
  return colour;
}
function mix(frame, dark) {
  const name = data.names[frame], kind = data.kindOf[frame], shade = hash(name) % 9 - 4;
  if (kind === GROUP) return dark ? "hsl(260 7% 25%)" : "hsl(40 17% 84%)";
  if (kind === KERNEL) return dark ? `hsl(217 24% ${38 + shade}%)` : `hsl(217 34% ${80 + shade}%)`;
  const hue = HUES[hash(packageOf(name) || data.modules[data.moduleOf[frame]]) % HUES.length];
  return dark ? `hsl(${hue} 46% ${36 + shade}%)` : `hsl(${hue} 72% ${74 + shade}%)`;
}

// ---- Drawing

const darkness = matchMedia("(prefers-color-scheme: dark)");
const place = (node) => {
  const from = tree.left[zoomed], per = canvas.clientWidth / (tree.weight[zoomed] || 1);
  if (node === zoomed || isAbove(node, zoomed)) return [0, canvas.clientWidth];
  return [(tree.left[node] - from) * per, tree.weight[node] * per];
};
const isAbove = (node, other) => node < other && tree.end[node] > other;

function draw() {
  let rows = 0;
  for (let node = zoomed; node < tree.end[zoomed]; node++) rows = Math.max(rows, tree.depth[node] + 1);
  const height = rows * ROW, width = canvas.clientWidth;
  const scale = Math.min(devicePixelRatio || 1, 16000 / height); // browsers draw nothing on a canvas higher than that
  canvas.style.height = height + "px";
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  pen.scale(scale, scale);
  pen.font = "12px system-ui, sans-serif";
  pen.textBaseline = "middle";
  for (let node = tree.parent[zoomed]; node >= 0; node = tree.parent[node]) box(node);
  let node = zoomed;
  while (node < tree.end[zoomed]) node = box(node) ? node + 1 : tree.end[node];
  reset.disabled = zoomed === 0;
}

function box(node) {
  const [x, width] = place(node);
  if (width < LEAST_PIXELS) return false;
  const dark = darkness.matches, y = tree.depth[node] * ROW, found = matches.has(tree.frame[node]);
  pen.globalAlpha = isAbove(node, zoomed) ? 0.45 : matches.size && !found ? 0.35 : 1;
  pen.fillStyle = found ? "#d54bb5" : colourOf(tree.frame[node], dark);
  pen.fillRect(x, y, Math.max(LEAST_PIXELS, width - GAP), ROW - GAP);
  if (node === selected) {
    pen.globalAlpha = 1;
    pen.strokeStyle = dark ? "#fff" : "#000";
    pen.lineWidth = 2;
    pen.strokeRect(x + 1, y + 1, Math.max(1, width - GAP - 2), ROW - GAP - 2);
  }
  if (width >= TEXT_FROM) {
    pen.globalAlpha = matches.size && !found ? 0.6 : 1;
    pen.fillStyle = found ? "#fff" : dark ? "#f4f0ea" : "#1d1b18";
    pen.fillText(fitted(node, width - 10), x + 5, y + ROW / 2);
  }
  return true;
}

function fitted(node, width) {
  const text = node === 0 ? `all · ${amount(tree.weight[0])}` : nameOf(node);
  if (pen.measureText(text).width <= width) return text;
  let low = 0, high = text.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (pen.measureText(text.slice(0, middle) + "…").width <= width) low = middle;
    else high = middle - 1;
  }
  return low > 1 ? text.slice(0, low) + "…" : "";
}

// ---- Finding, zooming, selecting

function nodeAt(event) {
  const edge = canvas.getBoundingClientRect(), depth = Math.floor((event.clientY - edge.top) / ROW), x = event.clientX - edge.left;
  return (tree.rows[depth] || []).find((node) => {
    if (!(node === zoomed || isAbove(node, zoomed) || isAbove(zoomed, node))) return false;
    const [from, width] = place(node);
    return width >= LEAST_PIXELS && x >= from && x < from + width;
  }) ?? -1;
}

function zoom(node) {
  zoomed = node;
  hideTip();
  draw();
}

function select(node) {
  selected = node;
  const words = node < 0 ? "" : `${nameOf(node)} — ${share(tree.weight[node])}, ${amount(tree.weight[node])}; ${tree.count[node].toLocaleString("en")} samples; itself ${share(tree.own[node])}. ${whereOf(node)}`;
  element("selected").textContent = words;
  draw();
}

function seek() {
  const wanted = search.value.trim().toLowerCase();
  matches = new Set();
  if (wanted) data.names.forEach((name, frame) => { if (frame && name.toLowerCase().includes(wanted)) matches.add(frame); });
  let weight = 0, node = 0;
  while (node < tree.size) {
    if (matches.has(tree.frame[node])) { weight += tree.weight[node]; node = tree.end[node]; } else node++;
  }
  element("found").textContent = wanted ? `${tree.leftOut && matches.size ? "at least " : ""}${share(weight)} in ${matches.size.toLocaleString("en")} function${matches.size === 1 ? "" : "s"}` : "";
  draw();
}

// ---- The tooltip

function showTip(node, event) {
  tip.querySelector("strong").textContent = nameOf(node);
  tip.querySelector("span").textContent = whereOf(node);
  const rows = [["with what it calls", tree.weight[node]], ["itself", tree.own[node]]].map(([name, value]) => row(name, amount(value), share(value)));
  rows.push(row("samples", tree.count[node].toLocaleString("en"), ""));
  tip.querySelector("tbody").replaceChildren(...rows);
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 8)) + "px";
  tip.style.top = (event.clientY + 18 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 18) + "px";
}
function row(name, ...values) {
  const line = document.createElement("tr"), head = document.createElement("th");
  head.textContent = name;
  line.append(head, ...values.map((value) => { const cell = document.createElement("td"); cell.textContent = value; return cell; }));
  return line;
}
function hideTip() { tip.hidden = true; }

// ---- Hands

canvas.addEventListener("mousemove", (event) => {
  const node = nodeAt(event);
  if (node < 0) hideTip();
  else showTip(node, event);
});
canvas.addEventListener("mouseleave", hideTip);
canvas.addEventListener("click", (event) => {
  const node = nodeAt(event);
  if (node < 0) return;
  selected = node;
  zoom(node);
  select(node);
});

function neighbour(step) {
  const around = tree.rows[tree.depth[selected]], at = around.indexOf(selected) + step;
  const next = around[at];
  return next !== undefined && (isAbove(zoomed, next) || next === zoomed) ? next : selected;
}
const MOVES = {
  ArrowDown: () => (selected + 1 < tree.end[selected] ? selected + 1 : selected),
  ArrowUp: () => Math.max(0, tree.parent[selected]),
  ArrowLeft: () => neighbour(-1),
  ArrowRight: () => neighbour(1),
};
canvas.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && selected >= 0) zoom(selected);
  else if (MOVES[event.key]) select(selected < 0 ? zoomed : MOVES[event.key]());
  else return;
  event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== search) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "Escape") {
    if (document.activeElement === search && search.value) { search.value = ""; seek(); }
    else if (zoomed) zoom(tree.parent[zoomed]);
  }
});
search.addEventListener("input", seek);
reset.addEventListener("click", () => zoom(0));
group.addEventListener("change", () => {
  plant(group.checked ? "grouped" : "plain");
  seek();
});
addEventListener("resize", draw);
darkness.addEventListener("change", draw);

plant("plain");
element("what").textContent = data.unit === "nanoseconds" ? "CPU time" : data.type;
const percent = (100 * data.pruneBelow).toLocaleString("en");
element("pruned").textContent = tree.leftOut ? `frames below ${percent} % are not drawn; the profile has them` : "every frame is drawn";
draw();
