// Axes of a chart along the sequence, as SVG: text stays legible at any width, and colours come from the style sheet.

import { svg } from "./dom.js";

export const HEIGHT = 230;
const [LEFT, BOTTOM, TOP, RIGHT] = [46, 36, 10, 8];

export interface Chart {
  readonly root: SVGSVGElement;
  /** Where what is drawn belongs, beneath the axes' labels. */
  readonly plot: SVGGElement;
  x(residues: number): number;
  y(value: number): number;
}

/** Round steps, about so many of them. */
export function ticks(most: number, about: number): number[] {
  const raw = Math.max(1, most / Math.max(1, about));
  const ten = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * ten).find((s) => s >= raw) ?? ten;
  const list: number[] = [];
  for (let at = 0; at <= most; at += step) list.push(at);
  return list;
}

/** A chart `residues` wide and `top` high; `width` in pixels. */
export function chart(width: number, label: string, residues: number, top: number, yLabel: string): Chart {
  const x = (at: number) => LEFT + ((width - LEFT - RIGHT) * at) / Math.max(1, residues);
  const y = (value: number) => HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - TOP) * value) / (top || 1);
  const root = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label });
  const plot = svg("g");
  root.append(plot);
  for (const value of ticks(top, 5)) {
    root.append(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
    root.append(svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, value));
  }
  for (const at of ticks(residues, width / 70)) {
    if (at) root.append(svg("text", { x: x(at - 0.5), y: HEIGHT - BOTTOM + 15, "text-anchor": "middle" }, at));
  }
  root.append(svg("text", { x: (LEFT + width) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "Residue"));
  const middle = (HEIGHT - BOTTOM) / 2;
  root.append(svg("text", { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, yLabel));
  return { root, plot, x, y };
}

/** Draws again when the box becomes wider or narrower. */
export function onWidth(box: HTMLElement, draw: (width: number) => void): () => void {
  let drawn = 0;
  const seen = new ResizeObserver(() => {
    const width = Math.max(240, Math.floor(box.clientWidth));
    if (width === drawn || !box.clientWidth) return;
    drawn = width;
    draw(width);
  });
  seen.observe(box);
  return () => seen.disconnect();
}
