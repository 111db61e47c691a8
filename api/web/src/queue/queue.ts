// The list of jobs: newest first, with live state, place in the queue and progress.

import { cancel, eventsPath, list, read } from "../api/client.js";
import { follow } from "../api/sse.js";
import { isTerminal, STATES, type Job } from "../api/types.js";
import { after, share, start, words, type Progress } from "../job/progress.js";
import { fresh, h } from "../parts/dom.js";
import { problemView } from "../parts/problem-view.js";
import { badge, STATE_WORDS } from "../parts/state.js";
import { count, time } from "../parts/text.js";

const PAGE = 20;
const EVERY = 3000;
/** Running jobs whose events are followed: a browser keeps few connections to a server of HTTP/1.1. */
const FOLLOWED = 2;
/** Queued jobs whose place is asked for, one request each. */
const PLACES = 5;

interface Row {
  element: HTMLTableRowElement;
  draw(job: Job, progress: Progress | null): void;
}

export function queueView(): { element: HTMLElement; refresh(): void; stop(): void } {
  const ended = new AbortController();
  const { signal } = ended;
  const [state, body, failed, none] = [fresh("state"), h("tbody", {}), h("div", {}), h("p", { class: "soft", hidden: true }, "No jobs here yet.")];
  const choice = h("select", { id: state, onchange: () => restart() }, h("option", { value: "" }, "All"), STATES.map((one) => h("option", { value: one }, STATE_WORDS[one])));
  const newest = h("button", { type: "button", disabled: true, onclick: () => restart() }, "Newest");
  const older = h("button", { type: "button", disabled: true, onclick: () => turn() }, "Older");
  const table = h(
    "table",
    { class: "queue" },
    h("thead", {}, h("tr", {}, ["Name", "State", "Progress", "Length", "Accepted"].map((text) => h("th", { scope: "col" }, text)), h("th", { scope: "col" }, h("span", { class: "unseen" }, "Cancel")))),
    body,
  );
  const rows = new Map<string, Row>();
  const followed = new Map<string, { progress: Progress; end: AbortController }>();
  const jobs = new Map<string, Job>();
  let cursor: string | null = null;
  let next: string | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let asked = 0;

  const restart = () => {
    cursor = null;
    void load();
  };
  const turn = () => {
    cursor = next;
    void load();
  };
  const load = async (): Promise<void> => {
    clearTimeout(timer);
    const mine = ++asked;
    try {
      const page = await list(choice.value, cursor, PAGE, signal);
      if (mine !== asked) return;
      next = page.next ?? null;
      older.disabled = next === null;
      newest.disabled = cursor === null;
      failed.replaceChildren();
      draw(page.jobs);
      await places(page.jobs);
    } catch (error) {
      if (signal.aborted || mine !== asked) return;
      failed.replaceChildren(problemView(error));
    }
    if (mine === asked && !signal.aborted) timer = setTimeout(() => (document.hidden ? waitForLight() : void load()), EVERY);
  };
  /** A page that nobody sees asks for nothing. */
  const waitForLight = () => document.addEventListener("visibilitychange", () => void load(), { once: true, signal });

  const draw = (page: Job[]) => {
    const seen = new Set(page.map((job) => job.id));
    for (const id of [...rows.keys()]) if (!seen.has(id)) rows.delete(id);
    for (const job of page) {
      // The list does not tell places; the last one known stays until it is asked again.
      const known = jobs.get(job.id);
      const place = job.position ?? (job.state === "queued" ? known?.position : null) ?? null;
      jobs.set(job.id, { ...job, position: place });
      if (!rows.has(job.id)) rows.set(job.id, rowOf((error) => failed.replaceChildren(problemView(error)), () => void load()));
      drawOne(job.id);
    }
    const elements = page.map((job) => rows.get(job.id)!.element);
    // Only what changed is moved, so that a button keeps its focus.
    if (elements.length !== body.children.length || elements.some((element, at) => body.children[at] !== element)) body.replaceChildren(...elements);
    none.hidden = page.length > 0;
    table.hidden = page.length === 0;
    listen(page);
  };
  const drawOne = (id: string) => {
    const job = jobs.get(id);
    if (job) rows.get(id)?.draw(job, followed.get(id)?.progress ?? null);
  };
  const places = async (page: Job[]) => {
    // The next ones are at the bottom: newest come first.
    for (const job of page.filter((one) => one.state === "queued").slice(-PLACES)) {
      const fresh = await read(job.id, signal);
      jobs.set(job.id, { ...fresh, result: null });
      drawOne(job.id);
    }
  };
  const listen = (page: Job[]) => {
    const running = page.filter((job) => job.state === "running").slice(-FOLLOWED);
    for (const [id, { end }] of followed) {
      if (running.some((job) => job.id === id)) continue;
      end.abort();
      followed.delete(id);
    }
    for (const job of running) {
      if (followed.has(job.id)) continue;
      const entry = { progress: start(job.state), end: new AbortController() };
      followed.set(job.id, entry);
      const onEvent = (kind: string, data: Record<string, unknown>) => {
        entry.progress = after(entry.progress, kind, data);
        drawOne(job.id);
        if (isTerminal(entry.progress.state)) void load();
      };
      follow(eventsPath(job.id), { after: 0, signal: entry.end.signal, onEvent }).catch(() => {
        // The list itself tells what is wrong with the server.
      });
    }
  };

  void load();
  return {
    element: h(
      "section",
      { class: "card", "aria-labelledby": "jobs-title" },
      h("div", { class: "title" }, h("h2", { id: "jobs-title" }, "Jobs"), h("span", { class: "choice" }, h("label", { for: state }, "State"), choice)),
      failed,
      none,
      table,
      h("p", { class: "buttons" }, newest, older),
    ),
    refresh: restart,
    stop() {
      clearTimeout(timer);
      ended.abort();
      for (const { end } of followed.values()) end.abort();
    },
  };
}

function rowOf(fail: (error: unknown) => void, changed: () => void): Row {
  const [name, state, progress, length, accepted, stop] = [h("th", { scope: "row" }), h("td", { "data-label": "State" }), h("td", { "data-label": "Progress" }), h("td", { "data-label": "Length" }), h("td", { "data-label": "Accepted" }), h("td", { class: "last" })];
  const element = h("tr", {}, name, state, progress, length, accepted, stop);
  const bar = h("progress", { max: 1 });
  const said = h("span", { class: "soft" });
  let drawn = "";
  return {
    element,
    draw(job, live) {
      const now = live && !isTerminal(job.state) ? live : start(job.state);
      const done = live ? share(live, job.options ?? null) : null;
      const last = live?.passes[live.passes.length - 1];
      said.textContent = isTerminal(job.state)
        ? (job.reason && job.state === "failed" ? job.reason.message : job.reused ? "from an earlier result" : "")
        : words(now, job.position ?? null) + (last ? `, pLDDT ${last.mean_plddt.toFixed(1)}` : "");
      bar.hidden = job.state !== "running";
      bar.setAttribute("aria-label", `Progress of ${job.name ?? job.id}`);
      if (done === null) bar.removeAttribute("value");
      else bar.value = done;
      const key = JSON.stringify([job.state, job.name]);
      if (key === drawn) return;
      drawn = key;
      name.replaceChildren(h("a", { href: `/jobs/${job.id}` }, job.name ?? job.id));
      state.replaceChildren(badge(job.state));
      progress.replaceChildren(bar, said);
      length.replaceChildren(job.residues == null ? "–" : count(job.residues, "residue"));
      accepted.replaceChildren(h("time", { datetime: job.created }, time(job.created)));
      const button = h("button", { type: "button", "aria-label": `Cancel ${job.name ?? job.id}` }, "Cancel");
      button.addEventListener("click", async () => {
        button.disabled = true;
        try {
          await cancel(job.id);
          changed();
        } catch (error) {
          button.disabled = false;
          fail(error);
        }
      });
      stop.replaceChildren(...(isTerminal(job.state) || job.state === "cancelling" ? [] : [button]));
    },
  };
}
