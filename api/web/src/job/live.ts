// Progress as it is told: a bar, each pass as it ends, notes, and the alignment's coverage.

import type { Job } from "../api/types.js";
import { isTerminal } from "../api/types.js";
import { h } from "../parts/dom.js";
import { bytes, seconds, time } from "../parts/text.js";
import { coverageView } from "./coverage.js";
import { share, words, type Coverage, type Progress } from "./progress.js";

export interface Live {
  element: HTMLElement;
  update(progress: Progress, job: Job): void;
  connection(wait: number | null): void;
  stop(): void;
}

export function liveView(): Live {
  const bar = h("progress", { max: 1, "aria-label": "Progress" });
  const now = h("p", { class: "now" });
  // Told to screen readers, but not each block of the network.
  const spoken = h("p", { class: "unseen", "aria-live": "polite" });
  const [plan, lost, reason] = [h("p", { class: "soft" }), h("p", { class: "lost", role: "status", hidden: true }), h("div", {})];
  const passes = h("tbody", {});
  const table = h("div", { class: "scroll", hidden: true }, h("table", { class: "passes" }, h("caption", {}, "Passes"), h("thead", {}, h("tr", {}, ["Seed", "Pass", "Mean pLDDT", "pTM", "Change", "Time"].map((text) => h("th", { scope: "col" }, text)))), passes));
  const notes = h("ul", {});
  const noted = h("div", { class: "noted", hidden: true }, h("h3", {}, "Notes"), notes);
  const progressCard = h("section", { class: "card" }, h("h2", {}, "Progress"), now, spoken, bar, plan, lost, reason, table, noted);
  const coverageCard = h("section", { class: "card", hidden: true }, h("h2", {}, "Alignment"));
  let coverage: Coverage | null = null;
  let stopCoverage = () => {};
  let said = "";
  let drawnPasses = 0;

  return {
    element: h("div", { class: "live" }, progressCard, coverageCard),
    update(progress, job) {
      const text = words(progress, job.position ?? null);
      now.textContent = text.charAt(0).toUpperCase() + text.slice(1);
      const last = progress.passes[progress.passes.length - 1];
      const speech = last && progress.state === "running" ? `${text}; mean pLDDT ${last.mean_plddt.toFixed(1)}` : text;
      if (speech !== said) spoken.textContent = said = speech;

      const done = share(progress, job.options ?? null);
      bar.hidden = isTerminal(progress.state) || progress.state === "queued";
      if (done === null) bar.removeAttribute("value");
      else bar.value = done;
      plan.textContent = progress.plan && !isTerminal(progress.state) ? `Planned: ${bytes(progress.plan.bytes)} of memory${progress.plan.seconds === null ? "" : `, about ${seconds(progress.plan.seconds)}`}` : "";

      const why = progress.reason ?? job.reason ?? null;
      reason.replaceChildren(
        ...(why && progress.state !== "succeeded" && progress.state !== "running"
          ? [h("div", { class: "problem" }, h("strong", {}, progress.state === "failed" ? "Why it failed" : "Why the last attempt failed"), h("p", {}, why.message), h("p", { class: "soft" }, `Code ${why.code}, attempt ${progress.attempts || job.attempts} of ${job.max_attempts}`, progress.due ? `, next one at ${time(progress.due)}` : ""))]
          : []),
      );

      if (progress.passes.length < drawnPasses) {
        passes.replaceChildren();
        drawnPasses = 0;
      }
      for (const one of progress.passes.slice(drawnPasses)) {
        const cells = [one.seed, `${one.pass} of ${one.passes}`, one.mean_plddt.toFixed(1), one.ptm === null ? "–" : one.ptm.toFixed(3), one.change === null ? "–" : `${one.change.toFixed(2)} Å`, one.seconds === null ? "–" : seconds(one.seconds)];
        passes.append(h("tr", {}, cells.map((cell) => h("td", { class: "number" }, cell))));
      }
      drawnPasses = progress.passes.length;
      table.hidden = drawnPasses === 0;

      if (notes.childElementCount !== progress.notes.length) notes.replaceChildren(...progress.notes.map((note) => h("li", {}, note)));
      noted.hidden = progress.notes.length === 0;

      if (progress.coverage !== coverage) {
        coverage = progress.coverage;
        stopCoverage();
        while (coverageCard.childElementCount > 1) coverageCard.lastElementChild!.remove();
        coverageCard.hidden = coverage === null;
        if (coverage) {
          const view = coverageView(coverage);
          stopCoverage = view.stop;
          coverageCard.append(view.element);
        }
      }
    },
    connection(wait) {
      lost.hidden = wait === null;
      if (wait !== null) lost.textContent = `The connection was lost; trying again in ${seconds(wait / 1000)}. The job goes on meanwhile.`;
    },
    stop: () => stopCoverage(),
  };
}
