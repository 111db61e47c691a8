// The PAE map: shows errors of pairs, selects ranges by dragging, keys or numbers, and marks what is selected elsewhere.

import { onWidth, ticks } from "../parts/chart.js";
import { fresh, h } from "../parts/dom.js";
import { green, heat } from "./heat.js";
import { spanText, type Selection, type Span } from "./selection.js";
import { meanPae, type Pae, type Residue } from "./structure.js";

const [LEFT, TOP, RIGHT, BOTTOM] = [52, 6, 6, 40];

export function paeView(pae: Pae, residues: Residue[], selection: Selection): { element: HTMLElement; stop: () => void } {
  const help = fresh("pae-help");
  const canvas = h("canvas", {
    class: "pae",
    tabindex: 0,
    role: "application",
    "aria-roledescription": "heat map",
    "aria-label": "Predicted aligned error. Arrow keys move, with Shift they select a range, Escape clears.",
    "aria-describedby": help,
  });
  const said = h("p", { class: "readout", role: "status" });
  const box = h("div", { class: "pae-box" }, canvas);
  const picture = document.createElement("canvas");
  const image = heat(pae);
  picture.width = image.width;
  picture.height = image.height;
  picture.getContext("2d")!.putImageData(image, 0, 0);

  let width = 0;
  let hovered: [number, number] | null = null;
  let cursor: [number, number] | null = null;
  let corner: [number, number] = [1, 1];
  const span = () => width - LEFT - RIGHT;

  const draw = () => {
    if (!width) return;
    const ratio = devicePixelRatio || 1;
    const height = span() + TOP + BOTTOM;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = `${height}px`;
    const c = canvas.getContext("2d")!;
    c.scale(ratio, ratio);
    c.imageSmoothingEnabled = picture.width > span() * ratio;
    c.drawImage(picture, LEFT, TOP, span(), span());
    const ink = getComputedStyle(canvas).color;
    c.strokeStyle = c.fillStyle = ink;
    c.strokeRect(LEFT + 0.5, TOP + 0.5, span() - 1, span() - 1);
    c.font = "11px system-ui, sans-serif";
    for (const tick of ticks(pae.size, span() / 60)) {
      if (!tick) continue;
      const at = (span() * (tick - 0.5)) / pae.size;
      c.textAlign = "center";
      c.fillText(String(tick), LEFT + at, TOP + span() + 14);
      c.textAlign = "right";
      c.fillText(String(tick), LEFT - 6, TOP + at + 4);
    }
    c.textAlign = "center";
    c.fillText("Scored residue", LEFT + span() / 2, TOP + span() + 32);
    c.save();
    c.translate(12, TOP + span() / 2);
    c.rotate(-Math.PI / 2);
    c.fillText("Aligned residue", 0, 0);
    c.restore();
    marks(c);
  };
  const marks = (c: CanvasRenderingContext2D) => {
    const cell = span() / pae.size;
    const mark = getComputedStyle(canvas).getPropertyValue("--mark").trim() || "#d6007f";
    c.save();
    c.beginPath();
    c.rect(LEFT, TOP, span(), span());
    c.clip();
    const { scored, aligned } = selection.selected;
    const bar = (range: Span | null, across: boolean, alpha: number) => {
      if (!range) return;
      const [at, size] = [(range.from - 1) * cell, Math.max(1.5, (range.to - range.from + 1) * cell)];
      c.globalAlpha = alpha;
      if (across) c.fillRect(LEFT, TOP + at, span(), size);
      else c.fillRect(LEFT + at, TOP, size, span());
    };
    c.fillStyle = c.strokeStyle = mark;
    // A single residue is a line, a range is a tint.
    const strength = (range: Span | null) => (range && range.from === range.to ? 0.75 : 0.22);
    bar(scored, false, strength(scored));
    bar(aligned, true, strength(aligned));
    if (scored && aligned) {
      c.globalAlpha = 1;
      c.lineWidth = 2;
      c.strokeRect(LEFT + (scored.from - 1) * cell, TOP + (aligned.from - 1) * cell, (scored.to - scored.from + 1) * cell, (aligned.to - aligned.from + 1) * cell);
    }
    const pointed = selection.pointed;
    if (pointed !== null && !hovered) {
      bar({ from: pointed, to: pointed }, false, 0.5);
      bar({ from: pointed, to: pointed }, true, 0.5);
    }
    if (cursor && document.activeElement === canvas) {
      c.globalAlpha = 1;
      c.lineWidth = 1.5;
      c.strokeRect(LEFT + (cursor[1] - 0.5) * cell - 5, TOP + (cursor[0] - 0.5) * cell - 5, 10, 10);
    }
    c.restore();
  };

  const name = (residue: number) => `${residues[residue - 1]?.letter ?? ""}${residue}`;
  const pair = ([i, j]: [number, number]) => `Aligned on ${name(i)}, error at ${name(j)}: ${pae.values[(i - 1) * pae.size + j - 1]!.toFixed(1).replace(/\.0$/, "")} Å`;
  const speak = () => {
    const { scored, aligned } = selection.selected;
    const at = hovered ?? (document.activeElement === canvas ? cursor : null);
    if (at) said.textContent = pair(at);
    else if (scored && aligned) said.textContent = `Selected: scored ${spanText(scored)}, aligned ${spanText(aligned)}; mean error ${meanPae(pae, aligned, scored).toFixed(1)} Å`;
    else said.textContent = "Point at a pair of residues to read its error; drag to select ranges";
  };
  /** Row and column under a point, or null outside; while dragging the nearest one. */
  const at = (event: PointerEvent, nearest: boolean): [number, number] | null => {
    const inside = (value: number) => Math.floor((value * pae.size) / span()) + 1;
    let [i, j] = [inside(event.offsetY - TOP), inside(event.offsetX - LEFT)];
    const ok = i >= 1 && j >= 1 && i <= pae.size && j <= pae.size;
    if (!ok && !nearest) return null;
    const clamp = (k: number) => Math.min(pae.size, Math.max(1, k));
    return [clamp(i), clamp(j)];
  };

  let from: [number, number] | null = null;
  canvas.addEventListener("pointerdown", (event) => {
    from = at(event, false);
    if (!from) return;
    canvas.setPointerCapture(event.pointerId);
    // Keys go on from here, but their cursor is shown only once they are used.
    corner = from;
    cursor = null;
    selection.select({ from: from[1], to: from[1] }, { from: from[0], to: from[0] });
  });
  canvas.addEventListener("pointermove", (event) => {
    hovered = at(event, from !== null);
    if (from && hovered) selection.select({ from: from[1], to: hovered[1] }, { from: from[0], to: hovered[0] });
    selection.point(hovered && !from ? hovered[1] : null);
    speak();
  });
  canvas.addEventListener("pointerup", () => (from = null));
  canvas.addEventListener("pointercancel", () => (from = null));
  canvas.addEventListener("pointerleave", () => {
    hovered = null;
    selection.point(null);
    speak();
    draw();
  });
  const moves: Record<string, [number, number]> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  let anchor: [number, number] | null = null;
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return selection.select(null, null);
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    const step = event.ctrlKey || event.metaKey ? 10 : 1;
    const clamp = (k: number) => Math.min(pae.size, Math.max(1, k));
    const old = cursor ?? corner;
    if (event.shiftKey) anchor ??= old;
    else anchor = null;
    cursor = [clamp(old[0] + step * move[0]), clamp(old[1] + step * move[1])];
    if (anchor) selection.select({ from: anchor[1], to: cursor[1] }, { from: anchor[0], to: cursor[0] });
    else draw();
    speak();
  });
  canvas.addEventListener("focus", () => {
    if (canvas.matches(":focus-visible")) cursor ??= corner;
    draw();
    speak();
  });
  canvas.addEventListener("blur", () => {
    anchor = null;
    draw();
    speak();
  });

  selection.onChange(() => {
    draw();
    speak();
  });
  const stop = onWidth(box, (next) => {
    width = Math.min(next, 520);
    canvas.style.width = `${width}px`;
    draw();
  });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", draw);
  speak();
  const element = h(
    "div",
    { class: "pae-view" },
    box,
    scale(pae.most),
    said,
    ranges(pae.size, selection),
    h("p", { class: "soft", id: help }, "Low errors (dark) between two parts mean that their relative position is well predicted. Columns are the residues that are scored, rows those that are aligned on."),
  );
  return { element, stop: () => (stop(), dark.removeEventListener("change", draw)) };
}

function scale(most: number): HTMLElement {
  const strip = h("canvas", { width: 128, height: 1, "aria-hidden": "true" });
  const image = new ImageData(128, 1);
  for (let i = 0; i < 128; i++) image.data.set([...green(i / 127), 255], 4 * i);
  strip.getContext("2d")!.putImageData(image, 0, 0);
  return h("p", { class: "scale" }, h("span", {}, "0 Å"), strip, h("span", {}, `${Number(most.toFixed(2))} Å`));
}

/** The same selection by numbers, for keyboards and screen readers. */
function ranges(size: number, selection: Selection): HTMLElement {
  const field = (label: string) => {
    const id = fresh("range");
    const input = h("input", { id, type: "number", min: 1, max: size, step: 1, required: true, inputmode: "numeric" });
    return { input, label: h("label", { for: id }, label) };
  };
  const [a, b, c, d] = [field("Scored from"), field("to"), field("Aligned from"), field("to")];
  const form = h(
    "form",
    { class: "ranges", "aria-label": "Select residue ranges" },
    h("span", {}, a.label, a.input, b.label, b.input),
    h("span", {}, c.label, c.input, d.label, d.input),
    h("span", {}, h("button", { type: "submit" }, "Select"), h("button", { type: "button", onclick: () => selection.select(null, null) }, "Clear")),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [w, x, y, z] = [a, b, c, d].map(({ input }) => input.valueAsNumber);
    selection.select({ from: w!, to: x! }, { from: y!, to: z! });
  });
  selection.onChange(() => {
    const { scored, aligned } = selection.selected;
    for (const [one, value] of [[a, scored?.from], [b, scored?.to], [c, aligned?.from], [d, aligned?.to]] as const) {
      if (document.activeElement !== one.input) one.input.value = value === undefined ? "" : String(value);
    }
  });
  return form;
}
