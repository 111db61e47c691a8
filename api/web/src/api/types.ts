// What the server says and takes: docs/service.md.

export type State = "queued" | "running" | "retry_wait" | "cancelling" | "succeeded" | "failed" | "cancelled";

export const STATES: readonly State[] = ["queued", "running", "retry_wait", "cancelling", "succeeded", "failed", "cancelled"];

export function isTerminal(state: State): boolean {
  return state === "succeeded" || state === "failed" || state === "cancelled";
}

export interface Options {
  model: string;
  recycles: number | null;
  recycle_tolerance: number;
  seed: number;
  num_seeds: number;
  max_msa: [number, number] | null;
}

export interface NewTemplate {
  name?: string | null;
  structure: string;
  chain?: string | null;
}

export interface NewJob {
  name?: string | null;
  sequence?: string | null;
  alignment?: string | null;
  templates?: NewTemplate[];
  options?: Partial<Options>;
  [other: string]: unknown;
}

export interface Inputs {
  jobs: NewJob[];
  notes?: string[];
}

export interface Reason {
  code: string;
  message: string;
}

export interface Ranked {
  rank: number;
  seed: number;
  mean_plddt: number;
  ptm?: number | null;
  passes: number;
}

export interface Item {
  name: string;
  sha256: string;
  bytes: number;
}

export interface Product {
  version: string;
  device: string;
  model: string;
  weights_sha256: string;
  residues: number;
  seconds: number;
  ranking: Ranked[];
  files: Item[];
}

export interface Job {
  id: string;
  name?: string | null;
  state: State;
  residues?: number | null;
  msa_rows?: number | null;
  sequence?: string | null;
  options?: Options | null;
  weights_sha256?: string | null;
  priority: number;
  attempts: number;
  max_attempts: number;
  position?: number | null;
  created: string;
  started?: string | null;
  finished?: string | null;
  due?: string | null;
  reason?: Reason | null;
  reused: boolean;
  expired: boolean;
  last_event: number;
  result?: Product | null;
}

export interface JobList {
  jobs: Job[];
  next?: string | null;
}

export interface Model {
  name: string;
  weights_sha256: string;
  about: string;
}

export interface Engine {
  version: string;
  device_class: string;
  device: string;
  models: Model[];
  limits: { body_bytes: number; residues: number; rows: number; templates: number; batch: number; recycles: number; num_seeds: number };
}
