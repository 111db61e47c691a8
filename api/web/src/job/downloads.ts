// Files of a result: each by itself, or all in one archive.

import { archive, file, filePath } from "../api/client.js";
import { key } from "../api/key.js";
import type { Item, Job } from "../api/types.js";
import { h } from "../parts/dom.js";
import { problemView } from "../parts/problem-view.js";
import { bytes } from "../parts/text.js";

/** Gives the reader a file that came in an answer. */
async function save(response: Response, name: string): Promise<void> {
  const address = URL.createObjectURL(await response.blob());
  const link = h("a", { href: address, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  // The browser has begun to read it by then.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

export function downloads(job: Job, items: readonly Item[]): HTMLElement {
  const base = job.name ?? job.id;
  const failed = h("div", {});
  const attempt = async (button: HTMLElement, work: () => Promise<void>) => {
    failed.replaceChildren();
    button.setAttribute("aria-busy", "true");
    try {
      await work();
    } catch (error) {
      failed.replaceChildren(problemView(error));
    } finally {
      button.removeAttribute("aria-busy");
    }
  };
  const zip = h("button", { type: "button", class: "main", onclick: () => attempt(zip, async () => save(await archive(job.id), `${base}.zip`)) }, `Download all (zip, ${items.length} files)`);
  // A link that works by itself; with a key it is fetched, since a link cannot send one.
  const link = (item: Item) => {
    const name = `${base}_${item.name}`;
    const a = h("a", { href: filePath(job.id, item.name), download: name }, item.name);
    a.addEventListener("click", (event) => {
      if (key() === null) return;
      event.preventDefault();
      void attempt(a, async () => save(await file(job.id, item.name), name));
    });
    return a;
  };
  const report = items.find((item) => item.name === "report.html");
  const row = (item: Item) => h("tr", {}, h("th", { scope: "row" }, link(item)), h("td", { class: "number" }, bytes(item.bytes)), h("td", { class: "hash" }, item.sha256));
  return h(
    "div",
    {},
    h("p", { class: "buttons" }, zip, report && key() === null ? h("a", { href: filePath(job.id, report.name), target: "_blank", rel: "noopener" }, "Open the report") : null),
    failed,
    h("div", { class: "scroll" }, h("table", { class: "files" }, h("thead", {}, h("tr", {}, ["File", "Size", "SHA-256"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, items.map(row)))),
  );
}
