// What the reader gave, as text: pasted or in files. Formats are the server's business; only letters alone are told apart.

import { readInput } from "../api/client.js";
import type { Inputs, NewJob, NewTemplate } from "../api/types.js";

/** Letters without a header: one sequence. */
export function isBare(text: string): boolean {
  const first = text.trimStart()[0];
  return first !== ">" && first !== "#" && first !== ";" && first !== "{" && first !== "[" && !/^\s*[\w"-]+\s*=/m.test(text);
}

/** What was pasted, as bodies of jobs. */
export async function pasted(text: string): Promise<Inputs> {
  if (isBare(text)) return { jobs: [{ sequence: text.replace(/\s+/g, "") }] };
  return readInput(text.trimStart().startsWith("#") ? "pasted.sto" : "pasted", text);
}

/** A template file, unpacked if it is compressed. */
export async function template(file: File): Promise<NewTemplate> {
  const packed = file.name.endsWith(".gz");
  const stream = packed ? file.stream().pipeThrough(new DecompressionStream("gzip")) : file.stream();
  return { name: file.name.replace(/\.gz$/, ""), structure: await new Response(stream).text() };
}

/** The job with what the form says; fields of the form that were left empty change nothing. */
export function withForm(job: NewJob, options: NewJob["options"], templates: NewTemplate[], name: string): NewJob {
  const all: NewJob = { ...job };
  if (name) all.name = name;
  if (options && Object.keys(options).length) all.options = { ...job.options, ...options };
  if (templates.length) all.templates = [...(job.templates ?? []), ...templates];
  return all;
}

/** Rows of an A3M text. */
export function rowsOf(alignment: string): number {
  return (alignment.match(/^>/gm) ?? []).length;
}
