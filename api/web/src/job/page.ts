// /jobs/{id}: one job, from the queue to its result.

import { cancel, eventsPath, read } from "../api/client.js";
import { Problem } from "../api/problem.js";
import { follow } from "../api/sse.js";
import { isTerminal, type Job } from "../api/types.js";
import { h } from "../parts/dom.js";
import type { Page } from "../parts/page.js";
import { problemView } from "../parts/problem-view.js";
import { badge } from "../parts/state.js";
import { count, time } from "../parts/text.js";
import { liveView } from "./live.js";
import { after, start, type Progress } from "./progress.js";
import { rerunView } from "./rerun.js";
import { resultView } from "./result.js";
import { spanText } from "./selection.js";

const POSITION_EVERY = 3000;

export function jobPage(id: string, go: (path: string) => void): Page {
  const ended = new AbortController();
  const { signal } = ended;
  const [failed, result] = [h("div", {}), h("div", {})];
  const head = headView(go, (error) => failed.replaceChildren(problemView(error)));
  const live = liveView();
  const stops: (() => void)[] = [live.stop, () => ended.abort()];
  let job: Job | null = null;
  let progress: Progress = start("queued");
  let shown = "";

  const draw = () => {
    if (!job) return;
    live.update(progress, job);
    const key = JSON.stringify([progress.state, job.name, job.expired, job.started, job.finished]);
    if (key !== shown) {
      shown = key;
      head.draw({ ...job, state: progress.state });
    }
  };
  const finish = (job: Job) => {
    if (result.firstChild || signal.aborted) return;
    if (job.expired) result.replaceChildren(h("p", { class: "card" }, "The result and the events of this job have been removed."));
    else if (job.result) {
      const view = resultView(job, job.result);
      stops.push(view.stop);
      result.replaceChildren(view.element);
    }
  };
  const run = async () => {
    job = await read(id, signal);
    progress = start(job.state);
    live.element.hidden = job.expired;
    document.title = `${job.name ?? "Job"} · Foldry`;
    draw();
    if (isTerminal(job.state)) finish(job);
    if (job.expired) return;
    void positions();
    await follow(eventsPath(id), {
      after: 0,
      signal,
      onEvent(kind, data) {
        const state = progress.state;
        progress = after(progress, kind, data);
        // Told again from the first, an ended job stays ended.
        if (job && isTerminal(job.state)) progress = { ...progress, state: job.state };
        if (progress.state !== state) void reread();
        draw();
      },
      onConnection: live.connection,
    });
    await reread();
  };
  /** What events do not tell: times, place, result. */
  const reread = async () => {
    try {
      job = await read(id, signal);
      if (isTerminal(job.state)) {
        progress = { ...progress, state: job.state };
        finish(job);
      }
      draw();
    } catch (error) {
      if (signal.aborted || Problem.of(error).passing) return;
      failed.replaceChildren(problemView(error));
    }
  };
  const positions = async () => {
    while (!signal.aborted && job && !isTerminal(job.state)) {
      await new Promise((resolve) => setTimeout(resolve, POSITION_EVERY));
      if (!signal.aborted && (progress.state === "queued" || progress.state === "retry_wait")) await reread();
    }
  };
  run().catch((error) => {
    if (!signal.aborted) failed.replaceChildren(problemView(error));
  });
  return {
    title: "Job",
    element: h("div", { class: "job" }, head.element, failed, result, live.element),
    stop: () => stops.forEach((stop) => stop()),
  };
}

interface Head {
  element: HTMLElement;
  draw(job: Job): void;
}

function headView(go: (path: string) => void, fail: (error: unknown) => void): Head {
  // The heading stays where it is: it may have the focus.
  const title = h("h1", { tabindex: -1 }, "Job");
  const [state, facts, buttons] = [h("span", { class: "title" }), h("dl", { class: "facts" }), h("div", { class: "buttons" })];
  return {
    element: h("header", { class: "job-head" }, h("div", { class: "title" }, title, state), facts, buttons),
    draw(job) {
      title.textContent = job.name ?? job.id;
      state.replaceChildren(badge(job.state), ...(job.reused ? [h("span", { class: "soft" }, "answered from an earlier result")] : []));
      facts.replaceChildren(...factsOf(job).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
      const stop = h("button", { type: "button", onclick: () => void cancel(job.id).catch(fail) }, "Cancel job");
      const rerun = isTerminal(job.state) ? rerunView(job, (next) => go(`/jobs/${next.id}`)) : null;
      buttons.replaceChildren(...(isTerminal(job.state) ? (rerun ? [rerun] : []) : [stop]));
    },
  };
}

function factsOf(job: Job): [string, string][] {
  const { options } = job;
  const list: [string, string | null][] = [
    ["Length", job.residues == null ? null : count(job.residues, "residue")],
    ["Alignment", job.residues == null ? null : job.msa_rows ? count(job.msa_rows, "row") : "none"],
    ["Model", options?.model ?? null],
    ["Seeds", options ? spanText({ from: options.seed, to: options.seed + options.num_seeds - 1 }) : null],
    ["Recycles", options ? (options.recycles == null ? "the model's" : String(options.recycles)) : null],
    ["Accepted", time(job.created)],
    ["Ended", job.finished ? time(job.finished) : null],
    ["Id", job.id],
  ];
  return list.filter((fact): fact is [string, string] => fact[1] !== null);
}
