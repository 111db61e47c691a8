// A job's state as a word on a colour.

import type { State } from "../api/types.js";
import { h } from "./dom.js";

export const STATE_WORDS: Record<State, string> = {
  queued: "Queued",
  running: "Running",
  retry_wait: "Waiting to retry",
  cancelling: "Cancelling",
  succeeded: "Succeeded",
  failed: "Failed",
  cancelled: "Cancelled",
};

export function badge(state: State): HTMLElement {
  return h("span", { class: `badge ${state}`, "data-state": state }, STATE_WORDS[state]);
}
