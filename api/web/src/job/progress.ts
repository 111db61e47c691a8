// What is known of a job's progress, folded from its events. Pure: no element is touched here.

import type { Options, Reason, State } from "../api/types.js";

export interface Pass {
  seed: number;
  pass: number;
  passes: number;
  mean_plddt: number;
  ptm: number | null;
  change: number | null;
  seconds: number | null;
}

export interface Coverage {
  rows: number;
  neff: number;
  bands: number[][];
}

export interface Progress {
  state: State;
  stage: string | null;
  attempts: number;
  plan: { bytes: number; seconds: number | null } | null;
  notes: string[];
  coverage: Coverage | null;
  passes: Pass[];
  /** Where it is within a pass. */
  block: { seed: number; pass: number; passes: number; block: number; blocks: number } | null;
  reason: Reason | null;
  due: string | null;
}

export function start(state: State): Progress {
  return { state, stage: null, attempts: 0, plan: null, notes: [], coverage: null, passes: [], block: null, reason: null, due: null };
}

const STATES = new Set(["queued", "running", "retry_wait", "cancelling", "succeeded", "failed", "cancelled"]);

const number = (value: unknown): number | null => (typeof value === "number" && Number.isFinite(value) ? value : null);

/** The progress after an event; unknown kinds and damaged data leave it as it is. */
export function after(progress: Progress, kind: string, data: Record<string, unknown>): Progress {
  switch (kind) {
    case "state":
    case "end": {
      if (typeof data["state"] !== "string" || !STATES.has(data["state"])) return progress;
      const state = data["state"] as State;
      const reason = isReason(data["reason"]) ? data["reason"] : kind === "end" ? progress.reason : null;
      const next = { ...progress, state, reason, attempts: number(data["attempts"]) ?? progress.attempts, due: typeof data["due"] === "string" ? data["due"] : null };
      // An attempt begins anew; what the one before told is void.
      if (kind === "state" && state === "running") return { ...next, stage: null, plan: null, notes: [], coverage: null, passes: [], block: null };
      return next;
    }
    case "stage":
      return typeof data["stage"] === "string" ? { ...progress, stage: data["stage"] } : progress;
    case "plan": {
      const bytes = number(data["bytes"]);
      return bytes === null ? progress : { ...progress, plan: { bytes, seconds: number(data["seconds"]) } };
    }
    case "note":
      return typeof data["text"] === "string" ? { ...progress, notes: [...progress.notes, data["text"]] } : progress;
    case "coverage": {
      const bands = data["bands"];
      const rows = number(data["rows"]);
      if (rows === null || !Array.isArray(bands) || !bands.every((band) => Array.isArray(band))) return progress;
      return { ...progress, coverage: { rows, neff: number(data["neff"]) ?? 0, bands: bands as number[][] } };
    }
    case "block": {
      const [seed, pass, passes, block, blocks] = ["seed", "pass", "passes", "block", "blocks"].map((name) => number(data[name]));
      if (seed == null || pass == null || passes == null || block == null || !blocks) return progress;
      return { ...progress, block: { seed, pass, passes, block, blocks } };
    }
    case "pass": {
      const [seed, pass, passes, plddt] = ["seed", "pass", "passes", "mean_plddt"].map((name) => number(data[name]));
      if (seed == null || pass == null || passes == null || plddt == null) return progress;
      const one = { seed, pass, passes, mean_plddt: plddt, ptm: number(data["ptm"]), change: number(data["change"]), seconds: number(data["seconds"]) };
      return { ...progress, passes: [...progress.passes, one], block: { seed, pass, passes, block: 1, blocks: 1 } };
    }
    default:
      return progress;
  }
}

function isReason(value: unknown): value is Reason {
  return typeof value === "object" && value !== null && typeof (value as Reason).code === "string" && typeof (value as Reason).message === "string";
}

/** How much of the network's work is done, 0 to 1; null before it begins. */
export function share(progress: Progress, options: Pick<Options, "seed" | "num_seeds"> | null): number | null {
  if (progress.state === "succeeded" || progress.stage === "write") return 1;
  const at = progress.block;
  if (!at) return null;
  const seeds = Math.max(1, options?.num_seeds ?? 1);
  const before = Math.min(seeds - 1, Math.max(0, at.seed - (options?.seed ?? at.seed)));
  return Math.min(1, (before + (at.pass - 1 + at.block / at.blocks) / at.passes) / seeds);
}

const STAGES: Record<string, string> = {
  load: "loading the model",
  features: "preparing features",
  network: "folding",
  write: "writing the result",
};

/** In a few words, for a list or a screen reader. */
export function words(progress: Progress, position: number | null): string {
  switch (progress.state) {
    case "queued":
      return position === null ? "waiting in the queue" : position === 0 ? "next in the queue" : `${position} ahead in the queue`;
    case "retry_wait":
      return `attempt ${progress.attempts} failed, will be tried again`;
    case "cancelling":
      return "being cancelled";
    case "succeeded":
      return "finished";
    case "failed":
      return "failed";
    case "cancelled":
      return "cancelled";
    case "running": {
      const stage = progress.stage === null ? "starting" : (STAGES[progress.stage] ?? progress.stage);
      const at = progress.stage === "network" ? progress.block : null;
      return at ? `${stage}, seed ${at.seed}, pass ${at.pass} of ${at.passes}` : stage;
    }
  }
}
