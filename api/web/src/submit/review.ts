// What was read from files, before anything is accepted.

import type { NewJob } from "../api/types.js";
import { h } from "../parts/dom.js";
import { count } from "../parts/text.js";
import { rowsOf } from "./read.js";

export interface Review {
  element: HTMLElement;
  add(source: string, jobs: NewJob[], notes: string[]): void;
  jobs(): NewJob[];
  clear(): void;
  row(index: number): HTMLElement | null;
}

export function review(changed: () => void): Review {
  const body = h("tbody", {});
  const notes = h("ul", { class: "notes" });
  const element = h(
    "div",
    { class: "review", hidden: true },
    h("div", { class: "scroll" }, h("table", {}, h("caption", {}, "What was read; nothing is accepted yet"), h("thead", {}, h("tr", {}, ["Name", "From", "Length", "Alignment", ""].map((text) => h("th", { scope: "col" }, text)))), body)),
    notes,
  );
  let given: { job: NewJob; row: HTMLElement }[] = [];
  const update = () => {
    element.hidden = given.length === 0 && notes.childElementCount === 0;
    changed();
  };
  return {
    element,
    add(source, jobs, said) {
      for (const job of jobs) {
        const remove = h("button", { type: "button", "aria-label": `Leave out ${job.name ?? "this"}` }, "Leave out");
        const length = job.sequence ? count(job.sequence.length, "residue") : "–";
        const rows = job.alignment ? count(rowsOf(job.alignment), "row") : "none";
        const row = h("tr", { tabindex: -1 }, h("th", { scope: "row" }, job.name ?? "–"), h("td", {}, source), h("td", {}, length), h("td", {}, rows), h("td", { class: "last" }, remove));
        const entry = { job, row };
        remove.addEventListener("click", () => {
          given = given.filter((other) => other !== entry);
          row.remove();
          if (!given.length) notes.replaceChildren();
          update();
        });
        given.push(entry);
        body.append(row);
      }
      notes.append(...said.map((note) => h("li", {}, note)));
      update();
    },
    jobs: () => given.map(({ job }) => job),
    clear() {
      given = [];
      body.replaceChildren();
      notes.replaceChildren();
      update();
    },
    row: (index) => given[index]?.row ?? null,
  };
}
