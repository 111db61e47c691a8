"use strict";
// Charts, tables and the choice of model.
const report = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const SVG = "http:" + "//www.w3.org/2000/svg";
function el(parent, name, attributes, text) {
  const e = document.createElementNS(SVG, name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  if (text !== undefined) e.textContent = text;
  return parent.appendChild(e);
}
function ticks(most, about) {
  const raw = Math.max(1, most / about), ten = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * ten).find((s) => s >= raw) || 1, list = [];
  for (let t = 0; t <= most; t += step) list.push(t);
  return list;
}
// Axes of a chart r residues wide; returns the svg and its two scales.
function chart(box, label, r, top, yLabel) {
  const [W, H, L, B, T] = [Math.max(260, box.clientWidth || 560), 230, 46, 36, 10]; // one unit is one pixel: text stays legible
  box.replaceChildren();
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${W} ${H}`); svg.setAttribute("role", "img"); svg.setAttribute("aria-label", label);
  box.appendChild(svg);
  const x = (i) => L + ((W - L - 8) * i) / Math.max(1, r), y = (v) => H - B - ((H - B - T) * v) / (top || 1);
  const axes = () => {
    for (const v of ticks(top, 5)) {
      el(svg, "line", { x1: L, x2: W - 8, y1: y(v), y2: y(v), stroke: "currentColor", "stroke-opacity": 0.12 });
      el(svg, "text", { x: L - 6, y: y(v) + 4, "text-anchor": "end" }, v);
    }
    for (const v of ticks(r, W / 70)) if (v) el(svg, "text", { x: x(v - 0.5), y: H - B + 15, "text-anchor": "middle" }, v);
    el(svg, "text", { x: (L + W) / 2, y: H - 4, "text-anchor": "middle" }, "Residue");
    el(svg, "text", { x: 12, y: (H - B) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(H - B) / 2})` }, yLabel);
  };
  return { svg, x, y, axes };
}
function plddtPlot(model) {
  const r = model.plddt.length, { svg, x, y, axes } = chart($("plddt"), "pLDDT of every residue", r, 100, "pLDDT");
  for (const [low, high] of [[90, 100], [70, 90], [50, 70], [0, 50]])
    el(svg, "rect", { x: x(0), width: x(r) - x(0), y: y(high), height: y(low) - y(high), fill: colourOf(low + 1), "fill-opacity": 0.13 });
  axes();
  const path = model.plddt.map((p, i) => (p === null ? "" : `${i && model.plddt[i - 1] !== null ? "L" : "M"}${x(i + 0.5).toFixed(1)} ${y(p).toFixed(1)}`));
  el(svg, "path", { d: path.join(""), fill: "none", stroke: "currentColor", "stroke-width": 1.6, "stroke-linejoin": "round" });
  model.plddt.forEach((p, i) => {
    const bar = el(svg, "rect", { x: x(i), width: x(1) - x(0), y: y(100), height: y(0) - y(100), fill: "transparent" });
    el(bar, "title", {}, `${name(i)}: pLDDT ${p ?? "–"}`);
  });
}
function coveragePlot() {
  const bins = report.coverage, r = bins.length ? bins[0].length : 0;
  $("s-coverage").hidden = !r;
  if (!r) return;
  const total = bins[0].map((_, i) => bins.reduce((t, b) => t + b[i], 0));
  const { svg, x, y, axes } = chart($("coverage"), "Sequences in the alignment at every residue", r, Math.max(1, ...total), "Sequences");
  const base = new Array(r).fill(0), legend = document.createElement("p");
  legend.className = "legend";
  bins.forEach((bin, b) => {
    const colour = `hsl(${210 + (110 * (bins.length - 1 - b)) / Math.max(1, bins.length - 1)} 65% ${62 - (22 * b) / bins.length}%)`;
    const lower = base.slice(), up = [], down = [];
    bin.forEach((v, i) => {
      base[i] += v;
      up.push(`${x(i).toFixed(1)} ${y(base[i]).toFixed(1)}L${x(i + 1).toFixed(1)} ${y(base[i]).toFixed(1)}`);
      down.unshift(`${x(i + 1).toFixed(1)} ${y(lower[i]).toFixed(1)}L${x(i).toFixed(1)} ${y(lower[i]).toFixed(1)}`);
    });
    el(svg, "path", { d: `M${up.join("L")}L${down.join("L")}Z`, fill: colour });
    const key = document.createElement("span"), dot = document.createElement("i");
    dot.style.background = colour;
    key.append(dot, `${Math.round((100 * b) / bins.length)}–${Math.round((100 * (b + 1)) / bins.length)}% identity`);
    legend.append(key);
  });
  axes();
  $("coverage").append(legend);
}
// AlphaFold DB's greens: dark is 0 Å, white the largest error.
function green(share) {
  const f = Math.max(0, Math.min(1, share)) ** 0.8;
  return [255 * f, 68 + 187 * f, 27 + 228 * f].map(Math.round);
}
function paePlot(model) {
  $("s-pae").hidden = !model.pae;
  if (!model.pae) return;
  const r = model.plddt.length, most = model.max_pae || 31.75, canvas = $("pae"), cell = document.createElement("canvas");
  cell.width = cell.height = r;
  const image = new ImageData(r, r);
  model.pae.forEach((v, k) => {
    image.data.set([...green((v ?? most) / most), 255], 4 * k);
  });
  cell.getContext("2d").putImageData(image, 0, 0);
  const size = 2 * Math.max(240, canvas.clientWidth || 420), left = 100, span = size - left - 4, c = canvas.getContext("2d");
  canvas.width = size;
  canvas.height = span + 50;
  c.imageSmoothingEnabled = false;
  c.drawImage(cell, left, 4, span, span);
  c.strokeStyle = c.fillStyle = getComputedStyle(document.body).color;
  c.globalAlpha = 0.75;
  c.strokeRect(left, 4, span, span);
  c.font = "22px system-ui, sans-serif";
  for (const t of ticks(r, size / 140)) if (t) {
    const at = (span * (t - 0.5)) / r;
    c.textAlign = "center"; c.fillText(t, left + at, span + 34);
    c.textAlign = "right"; c.fillText(t, left - 8, 4 + at + 8);
  }
  c.save(); c.translate(24, span / 2); c.rotate(-Math.PI / 2); c.textAlign = "center"; c.fillText("Aligned residue", 0, 0); c.restore();
  $("pae-most").textContent = `${+most.toFixed(2)} Å`;
  const stops = [...Array(9).keys()].map((i) => `rgb(${green(i / 8)})`);
  $("pae-scale").style.background = `linear-gradient(to right, ${stops})`;
  const hint = "Point at a pair of residues to read its error";
  $("pae-tip").textContent = hint;
  canvas.onpointermove = (e) => {
    const k = size / canvas.clientWidth, i = Math.floor(((e.offsetY * k - 4) * r) / span), j = Math.floor(((e.offsetX * k - left) * r) / span);
    const inside = i >= 0 && j >= 0 && i < r && j < r;
    $("pae-tip").textContent = inside ? `aligned on ${name(i)}, error at ${name(j)}: ${model.pae[i * r + j] ?? "–"} Å` : hint;
  };
  canvas.onpointerleave = () => ($("pae-tip").textContent = hint);
}
const name = (i) => `${report.sequence[i] || ""} ${i + 1}`;
// The sequence in blocks of ten, each letter on the colour of its confidence.
function sequence(model) {
  const blocks = [];
  for (let i = 0; i < report.sequence.length; i += 10) {
    const block = document.createElement("span"), number = document.createElement("small");
    number.textContent = i + 1;
    block.append(number);
    [...report.sequence.slice(i, i + 10)].forEach((letter, k) => {
      const p = model.plddt[i + k], cell = document.createElement("b");
      cell.textContent = letter;
      cell.title = `${name(i + k)}: pLDDT ${p ?? "–"}`;
      if (p !== null) Object.assign(cell.style, { background: colourOf(p), color: p > 90 ? "#fff" : "#111" });
      block.append(cell);
    });
    blocks.push(block);
  }
  $("sequence").replaceChildren(...blocks);
}
function facts(model) {
  $("facts").replaceChildren(...[...(model ? model.facts : []), ...report.facts].map(([k, v]) => {
    const row = document.createElement("tr"), head = document.createElement("th"), cell = document.createElement("td");
    head.scope = "row"; head.textContent = k; cell.textContent = v;
    row.append(head, cell);
    return row;
  }));
}
const viewer = Viewer($("view"), $("tip"), [$("n-end"), $("c-end")]);
function show(i) {
  const model = report.models[i];
  facts(model);
  if (!model) return;
  viewer.show(model, report.sequence);
  sequence(model);
  plots(model);
}
function plots(model) {
  plddtPlot(model);
  paePlot(model);
  coveragePlot();
}
report.models.forEach((m, i) => $("model").add(new Option(m.label, i)));
$("choose").hidden = report.models.length < 2;
$("model").onchange = (e) => show(Number(e.target.value));
$("s-notes").hidden = !report.notes.length;
$("notes").append(...report.notes.map((n) => { const li = document.createElement("li"); li.textContent = n; return li; }));
if (!report.models.length) $("s-plddt").hidden = $("s-pae").hidden = $("s-sequence").hidden = true;
if (!report.models.length) coveragePlot();
show(0);
let drawn = innerWidth;
const again = () => report.models.length && plots(report.models[Number($("model").value)]);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
addEventListener("resize", () => { if (innerWidth !== drawn) { drawn = innerWidth; again(); } });
