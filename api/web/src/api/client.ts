// Requests to this server.

import { askForKey, key, setKey } from "./key.js";
import { Problem, problemOf } from "./problem.js";
import type { Engine, Inputs, Job, JobList, NewJob } from "./types.js";

interface Request {
  method?: string;
  headers?: Record<string, string>;
  body?: BodyInit;
  signal?: AbortSignal;
}

/** An answer that is no error. Asks for a key where one is needed, and tries again with it. */
export async function request(path: string, { method = "GET", headers = {}, body, signal }: Request = {}): Promise<Response> {
  for (;;) {
    const sent = key();
    const all: Record<string, string> = { ...headers };
    if (sent !== null) all["Authorization"] = `Bearer ${sent}`;
    let response: Response;
    try {
      response = await fetch(path, { method, headers: all, body: body ?? null, signal: signal ?? null, credentials: "omit", cache: "no-cache" });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw Problem.unreachable(error);
    }
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (problem.status !== 401) throw problem;
    // Another request may have got a key meanwhile.
    if (key() !== sent) continue;
    if (sent !== null) setKey(null);
    if ((await askForKey(problem.detail)) === null) throw problem;
  }
}

async function json<T>(path: string, options?: Request): Promise<T> {
  const response = await request(path, options);
  try {
    return (await response.json()) as T;
  } catch (error) {
    if (options?.signal?.aborted) throw error;
    throw Problem.unreachable(error);
  }
}

const job = (id: string) => `/v1/jobs/${encodeURIComponent(id)}`;
const asJson = { "Content-Type": "application/json" };

export const engine = () => json<Engine>("/v1/engine");

export const readInput = (name: string, body: BodyInit) =>
  json<Inputs>(`/v1/inputs?name=${encodeURIComponent(name)}`, { method: "POST", body, headers: { "Content-Type": "application/octet-stream" } });

/** `once` is the same for tries of one submission, so that none of them makes a second job. */
export const submit = (body: NewJob, once: string) =>
  json<Job>("/v1/jobs", { method: "POST", body: JSON.stringify(body), headers: { ...asJson, "Idempotency-Key": once } });

export const submitAll = (jobs: NewJob[], once: string) =>
  json<{ jobs: Job[] }>("/v1/batches", { method: "POST", body: JSON.stringify({ jobs }), headers: { ...asJson, "Idempotency-Key": once } });

export function list(state: string, cursor: string | null, limit: number, signal: AbortSignal): Promise<JobList> {
  const query = new URLSearchParams({ limit: String(limit) });
  if (state) query.set("state", state);
  if (cursor !== null) query.set("cursor", cursor);
  return json<JobList>(`/v1/jobs?${query}`, { signal });
}

export const read = (id: string, signal?: AbortSignal) => json<Job>(job(id), signal ? { signal } : {});
export const cancel = (id: string) => json<Job>(job(id), { method: "DELETE" });
/** The body that made a job. */
export const input = (id: string) => json<NewJob>(`${job(id)}/input`);
export const eventsPath = (id: string) => `${job(id)}/events`;
export const filePath = (id: string, name: string) => `${job(id)}/files/${encodeURIComponent(name)}`;
export const file = (id: string, name: string, signal?: AbortSignal) => request(filePath(id, name), signal ? { signal } : {});
export const archive = (id: string) => request(`${job(id)}/result`, { headers: { Accept: "application/zip" } });
