// The same job with another seed.

import { alignment, submit } from "../api/client.js";
import type { Job, NewJob } from "../api/types.js";
import { fresh, h } from "../parts/dom.js";
import { problemView } from "../parts/problem-view.js";
import { randomKey } from "../parts/text.js";

/** The body of a job like this one; its alignment is the job's own. */
export function again(job: Job, seed: number, a3m: string | null): NewJob {
  return {
    name: job.name ?? null,
    sequence: job.sequence ?? null,
    ...(a3m === null ? {} : { alignment: a3m }),
    options: { ...job.options, seed },
    priority: job.priority,
  };
}

/** Null if the job's input is gone. */
export function rerunView(job: Job, open: (job: Job) => void): HTMLElement | null {
  if (job.expired || !job.sequence || !job.options) return null;
  const id = fresh("seed");
  const { seed, num_seeds } = job.options;
  const field = h("input", { id, type: "number", min: 0, max: Number.MAX_SAFE_INTEGER, step: 1, required: true, inputmode: "numeric", value: seed + num_seeds });
  const button = h("button", { type: "submit" }, "Fold again");
  const failed = h("div", {});
  const form = h("form", { class: "rerun" }, h("label", { for: id }, "Another seed"), field, button, failed);
  let once = randomKey();
  let sent = "";
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    failed.replaceChildren();
    button.disabled = true;
    try {
      const body = again(job, field.valueAsNumber, job.msa_rows ? await alignment(job.id) : null);
      const text = JSON.stringify(body);
      if (sent && sent !== text) once = randomKey();
      sent = text;
      open(await submit(body, once));
    } catch (error) {
      failed.replaceChildren(problemView(error));
    } finally {
      button.disabled = false;
    }
  });
  return form;
}
