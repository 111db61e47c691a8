// /: hand in jobs, and see them.

import type { Job } from "./api/types.js";
import { h } from "./parts/dom.js";
import type { Page } from "./parts/page.js";
import { queueView } from "./queue/queue.js";
import { submitView } from "./submit/form.js";

export function homePage(go: (path: string) => void): Page {
  const queue = queueView();
  const submit = submitView((jobs: Job[]) => {
    if (jobs.length === 1) go(`/jobs/${jobs[0]!.id}`);
    else queue.refresh();
  });
  return {
    title: "Foldry",
    element: h("div", { class: "home" }, h("h1", { class: "unseen", tabindex: -1 }, "Protein structure prediction"), submit.element, queue.element),
    stop() {
      submit.stop();
      queue.stop();
    },
  };
}
