// Server-sent events over fetch: unlike `EventSource`, it can send a key, and says why it failed.

import { request } from "./client.js";
import { Problem } from "./problem.js";

export interface Told {
  id: number | null;
  kind: string;
  data: string;
}

/** Text to events, whatever pieces it comes in (the HTML standard, 9.2.6). */
export class EventParser {
  private rest = "";
  private id: number | null = null;
  private kind = "";
  private data: string[] = [];
  /** What the server asked for, milliseconds. */
  retry: number | null = null;

  push(text: string): Told[] {
    const all = this.rest + text;
    // A `\r` at the end may be the first half of `\r\n`.
    const lines = all.split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? "";
    return lines.flatMap((line) => this.line(line));
  }

  private line(line: string): Told[] {
    if (line === "") {
      const told = this.data.length ? [{ id: this.id, kind: this.kind || "message", data: this.data.join("\n") }] : [];
      this.kind = "";
      this.data = [];
      return told;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return [];
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.data.push(value);
    else if (field === "event") this.kind = value;
    else if (field === "id" && /^\d+$/.test(value)) this.id = Number(value);
    else if (field === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
    return [];
  }
}

export interface Follow {
  /** The last event that is known. */
  after: number;
  signal: AbortSignal;
  onEvent(kind: string, data: Record<string, unknown>): void;
  /** `null` when it is connected, else the milliseconds until the next try. */
  onConnection?(wait: number | null): void;
  /** For tests. */
  open?: typeof request;
  sleep?(ms: number, signal: AbortSignal): Promise<void>;
}

const LEAST = 500;
const MOST = 15_000;
/** The server breaks silence every 15 s; a connection that is silent for longer is dead. */
const SILENCE = 45_000;

/** Tells each event once, over as many connections as it takes; returns after `end`.
 * Throws a Problem that another try does not mend, and when aborted. */
export async function follow(path: string, { after, signal, onEvent, onConnection, open = request, sleep = pause }: Follow): Promise<void> {
  let last = after;
  let wait = LEAST;
  for (;;) {
    const parser = new EventParser();
    const one = new AbortController();
    const stop = () => one.abort();
    signal.addEventListener("abort", stop, { once: true });
    let watch: ReturnType<typeof setTimeout> | undefined;
    let asked: number | null = null;
    try {
      const headers: Record<string, string> = { Accept: "text/event-stream" };
      if (last > 0) headers["Last-Event-ID"] = String(last);
      const response = await open(path, { headers, signal: one.signal });
      onConnection?.(null);
      const reader = response.body!.getReader();
      const text = new TextDecoder();
      for (;;) {
        watch = setTimeout(stop, SILENCE);
        const { value, done } = await reader.read();
        clearTimeout(watch);
        if (done) break;
        for (const { id, kind, data } of parser.push(text.decode(value, { stream: true }))) {
          wait = LEAST;
          // A server that could not go on from there tells again what is known.
          if (id !== null && id <= last && kind !== "end") continue;
          if (id !== null) last = Math.max(last, id);
          onEvent(kind, parsed(data));
          if (kind === "end") return void reader.cancel().catch(() => {});
        }
      }
    } catch (error) {
      if (signal.aborted) throw error;
      if (error instanceof Problem) {
        if (!error.passing) throw error;
        asked = error.retryAfter === null ? null : 1000 * error.retryAfter;
      }
    } finally {
      clearTimeout(watch);
      signal.removeEventListener("abort", stop);
    }
    // Spread, so that the pages of a restarted server do not come all at once.
    const next = Math.min(MOST, Math.max(asked ?? 0, wait * (0.75 + Math.random() / 2)));
    onConnection?.(next);
    await sleep(next, signal);
    wait = Math.min(MOST, 2 * wait);
  }
}

function parsed(data: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}
