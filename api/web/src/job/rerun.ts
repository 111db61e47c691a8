// The same job with another seed.

import { input, submit } from "../api/client.js";
import type { Job, NewJob } from "../api/types.js";
import { fresh, h } from "../parts/dom.js";
import { problemView } from "../parts/problem-view.js";
import { randomKey } from "../parts/text.js";

/** The body that made a job, alignment and templates included, but for the seed. */
export const again = (made: NewJob, seed: number): NewJob => ({ ...made, options: { ...made.options, seed } });

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
      const body = again(await input(job.id), field.valueAsNumber);
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
