// An error in the page.

import { Problem } from "../api/problem.js";
import { h } from "./dom.js";

export function problemView(error: unknown): HTMLElement {
  const problem = Problem.of(error);
  const wait = problem.retryAfter === null ? null : ` Try again in ${problem.retryAfter} s.`;
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("strong", {}, problem.title),
    problem.detail || wait ? h("p", {}, problem.detail, wait) : null,
    h("p", { class: "soft" }, `Code ${problem.code}`, problem.requestId ? `, request ${problem.requestId}` : ""),
  );
}
