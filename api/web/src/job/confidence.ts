// pLDDT without 3D: the sequence on its colours, a table of bands, and every residue's value.

import { h } from "../parts/dom.js";
import { BANDS, bandOf, rangeOf } from "../viewer/colours.js";
import { spanText, type Selection, type Span } from "./selection.js";
import type { Residue } from "./structure.js";

/** Neighbours of one band, as ranges. */
export function runs(residues: readonly Residue[], band: (typeof BANDS)[number]): Span[] {
  const list: Span[] = [];
  for (const { number, plddt } of residues) {
    if (bandOf(plddt) !== band) continue;
    const last = list[list.length - 1];
    if (last && last.to === number - 1) last.to = number;
    else list.push({ from: number, to: number });
  }
  return list;
}

export function legend(): HTMLElement {
  return h("ul", { class: "legend", "aria-label": "Colours of pLDDT" }, BANDS.map((band) => h("li", {}, h("i", { class: `plddt-${band.short}` }), `${band.name} (${rangeOf(band)})`)));
}

export function bandTable(residues: readonly Residue[], selection: Selection): HTMLElement {
  const rows = BANDS.map((band) => {
    const where = runs(residues, band);
    const count = where.reduce((sum, span) => sum + span.to - span.from + 1, 0);
    const shown = where.slice(0, 12).map((span, at) => [
      at ? ", " : "",
      h("button", { type: "button", class: "link", "aria-label": `Select residues ${spanText(span)}`, onclick: () => selection.select(span, span) }, spanText(span)),
    ]);
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, h("i", { class: `plddt-${band.short}` }), band.name),
      h("td", {}, rangeOf(band)),
      h("td", { class: "number" }, count),
      h("td", { class: "number" }, `${Math.round((100 * count) / Math.max(1, residues.length))} %`),
      h("td", {}, shown.length ? shown : "–", where.length > 12 ? ` and ${where.length - 12} more` : ""),
    );
  });
  return h(
    "div",
    { class: "scroll" },
    h("table", { class: "bands" }, h("caption", {}, "Residues in each band"), h("thead", {}, h("tr", {}, ["Confidence", "pLDDT", "Residues", "Share", "Where"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, rows)),
  );
}

/** Letters in blocks of ten; arrow keys go along, Enter selects. */
export function sequenceView(residues: readonly Residue[], selection: Selection): HTMLElement {
  const cells = residues.map((residue) => h("b", { class: `plddt-${bandOf(residue.plddt).short}`, "data-residue": residue.number, title: told(residue) }, residue.letter));
  const blocks: HTMLElement[] = [];
  for (let i = 0; i < cells.length; i += 10) blocks.push(h("span", {}, h("small", { "aria-hidden": "true" }, residues[i]!.number), cells.slice(i, i + 10)));
  const said = h("p", { class: "readout", role: "status" });
  const strip = h("div", { class: "sequence", tabindex: 0, role: "application", "aria-roledescription": "sequence", "aria-label": "Sequence, coloured by pLDDT. Left and right keys go along, Enter selects, with Shift a range." }, blocks);
  let marked: number[] = [];
  let cursor = 0;
  let anchor: number | null = null;
  const index = new Map(residues.map((residue, at) => [residue.number, at]));
  const update = () => {
    for (const at of marked) cells[at]!.classList.remove("selected", "pointed");
    marked = [];
    residues.forEach((residue, at) => {
      if (!selection.has(residue.number)) return;
      cells[at]!.classList.add("selected");
      marked.push(at);
    });
    const at = selection.pointed === null ? undefined : index.get(selection.pointed);
    if (at !== undefined) {
      cells[at]!.classList.add("pointed");
      marked.push(at);
    }
    const spans = selection.spans();
    if (at !== undefined) said.textContent = told(residues[at]!);
    else if (spans.length === 1 && spans[0]!.from === spans[0]!.to) said.textContent = `Selected: ${told(residues[index.get(spans[0]!.from) ?? 0]!)}`;
    else said.textContent = spans.length ? `Selected: residues ${spans.map(spanText).join(" and ")}` : "Point at a residue to read its pLDDT, click to select it";
  };
  const residueOf = (event: Event) => {
    const cell = (event.target as Element).closest("[data-residue]");
    return cell ? Number(cell.getAttribute("data-residue")) : null;
  };
  strip.addEventListener("pointerover", (event) => selection.point(residueOf(event)));
  strip.addEventListener("pointerleave", () => selection.point(null));
  strip.addEventListener("click", (event) => {
    const residue = residueOf(event);
    if (residue === null) return;
    if (event.shiftKey && anchor !== null) selection.select({ from: anchor, to: residue }, { from: anchor, to: residue });
    else selection.pick((anchor = residue));
  });
  strip.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -10, ArrowDown: 10 }[event.key];
    const here = () => residues[cursor]!.number;
    if (step !== undefined) {
      cursor = Math.min(residues.length - 1, Math.max(0, cursor + step));
      selection.point(here());
      if (event.shiftKey) selection.select({ from: (anchor ??= here()), to: here() }, { from: anchor, to: here() });
    } else if (event.key === "Enter" || event.key === " ") selection.pick((anchor = here()));
    else if (event.key === "Escape") selection.select(null, null);
    else return;
    event.preventDefault();
  });
  strip.addEventListener("blur", () => selection.point(null));
  selection.onChange(update);
  update();
  return h("div", {}, strip, said, everyResidue(residues));
}

function told(residue: Residue): string {
  return `${residue.letter}${residue.number}: pLDDT ${residue.plddt.toFixed(1)}, ${bandOf(residue.plddt).name.toLowerCase()}`;
}

function everyResidue(residues: readonly Residue[]): HTMLElement {
  const box = h("div", { class: "scroll tall" });
  const details = h("details", {}, h("summary", {}, "pLDDT of every residue"), box);
  // Thousands of rows are made only for who wants them.
  details.addEventListener("toggle", () => {
    if (!details.open || box.firstChild) return;
    const rows = residues.map((residue) => h("tr", {}, h("td", { class: "number" }, residue.number), h("td", {}, residue.letter), h("td", { class: "number" }, residue.plddt.toFixed(2)), h("td", {}, bandOf(residue.plddt).name)));
    box.append(h("table", {}, h("thead", {}, h("tr", {}, ["Residue", "Letter", "pLDDT", "Confidence"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, rows)));
  });
  return details;
}
