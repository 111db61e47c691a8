// The frame of all pages, and which of them is shown.

import "./style.css";
import { key, onKey, setKey } from "./api/key.js";
import { homePage } from "./home.js";
import { jobPage } from "./job/page.js";
import { h } from "./parts/dom.js";
import type { Page } from "./parts/page.js";

const main = h("main", { id: "main" });
const forget = h("button", { type: "button", onclick: () => setKey(null) }, "Forget API key");
const drawKey = () => (forget.hidden = key() === null);
onKey(drawKey);
drawKey();
document.getElementById("app")!.replaceChildren(
  h("a", { class: "skip", href: "#main" }, "To the content"),
  h("header", { class: "top" }, h("a", { class: "brand", href: "/" }, "Foldry"), h("nav", { "aria-label": "Main" }, h("a", { href: "/" }, "Jobs"), h("a", { href: "/openapi.json" }, "API"), h("a", { href: "/assets/licences.txt" }, "Licences")), forget),
  main,
);

let page: Page | null = null;

function show(path: string, moved: boolean): void {
  page?.stop();
  const job = /^\/jobs\/([^/]+)\/?$/.exec(path);
  page = job ? jobPage(decodeURIComponent(job[1]!), go) : path === "/" || path === "/jobs" ? homePage(go) : missing();
  document.title = page.title === "Foldry" ? "Foldry" : `${page.title} · Foldry`;
  main.replaceChildren(page.element);
  // Whoever reads by ear learns that the page is another one.
  if (moved) {
    scrollTo(0, 0);
    main.querySelector<HTMLElement>("h1")?.focus({ preventScroll: true });
  }
}

function missing(): Page {
  return { title: "Not found", element: h("section", { class: "card" }, h("h1", { tabindex: -1 }, "There is no such page"), h("p", {}, h("a", { href: "/" }, "To the jobs"))), stop: () => {} };
}

function go(path: string): void {
  history.pushState(null, "", path);
  show(location.pathname, true);
}

document.addEventListener("click", (event) => {
  const link = (event.target as Element).closest?.("a");
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const ours = link.origin === location.origin && (link.pathname === "/" || link.pathname.startsWith("/jobs/"));
  if (!ours || link.target || link.hash) return;
  event.preventDefault();
  go(link.pathname);
});
addEventListener("popstate", () => show(location.pathname, true));
show(location.pathname, false);
