// How the alignment covers the sequence: rows at each residue, stacked by identity. Known before folding begins.

import { chart, onWidth } from "../parts/chart.js";
import { h, svg } from "../parts/dom.js";
import { count } from "../parts/text.js";
import type { Coverage } from "./progress.js";

/** The section's content, and what stops it from following the window's width. */
export function coverageView(coverage: Coverage): { element: HTMLElement; stop: () => void } {
  const bands = coverage.bands;
  const residues = bands[0]?.length ?? 0;
  const total = Array.from({ length: residues }, (_, i) => bands.reduce((sum, band) => sum + (band[i] ?? 0), 0));
  const most = Math.max(1, ...total);
  const sorted = [...total].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  const said = `${count(coverage.rows, "row")}, effectively ${coverage.neff.toFixed(1)}; at a residue ${sorted[0] ?? 0} to ${sorted[sorted.length - 1] ?? 0}, in the median ${median}.`;
  const box = h("div", {});
  const stop = onWidth(box, (width) => {
    const { root, plot, x, y } = chart(width, `Rows of the alignment at each residue. ${said}`, residues, most, "Rows");
    const below = new Array<number>(residues).fill(0);
    // The most distant band lies at the bottom.
    for (let b = bands.length - 1; b >= 0; b--) {
      const [up, down]: [string[], string[]] = [[], []];
      for (let i = 0; i < residues; i++) {
        const [low, high] = [below[i]!, below[i]! + (bands[b]![i] ?? 0)];
        below[i] = high;
        up.push(`${x(i).toFixed(1)} ${y(high).toFixed(1)}L${x(i + 1).toFixed(1)} ${y(high).toFixed(1)}`);
        down.push(`${x(i + 1).toFixed(1)} ${y(low).toFixed(1)}L${x(i).toFixed(1)} ${y(low).toFixed(1)}`);
      }
      if (residues) plot.append(svg("path", { class: shade(b, bands.length), d: `M${up.join("L")}L${down.reverse().join("L")}Z` }));
    }
    box.replaceChildren(root);
  });
  const legend = h(
    "ul",
    { class: "legend", "aria-label": "Identity with the sequence" },
    bands.map((_, b) => h("li", {}, h("i", { class: shade(b, bands.length) }), `${identity(b, bands.length)} identity`)),
  );
  return { element: h("div", { class: "coverage" }, h("p", { class: "soft" }, said), box, legend), stop };
}

/** Bands begin with the closest. */
export function identity(band: number, bands: number): string {
  const [low, high] = [bands - 1 - band, bands - band].map((k) => Math.round((100 * k) / bands));
  return `${low}–${high}%`;
}

function shade(band: number, bands: number): string {
  return `shade-${bands <= 1 ? 0 : Math.round((4 * band) / (bands - 1))}`;
}
