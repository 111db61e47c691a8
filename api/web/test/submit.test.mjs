// What is sent.

import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./source.mjs";

const { isBare, rowsOf, withForm } = await load("submit/read.ts");
const { again } = await load("job/rerun.ts");
const { problemOf } = await load("api/problem.ts");

test("letters alone are a sequence; everything else is the server's to read", () => {
  for (const text of ["MKVL", "  mkvl\nAAG 10", "MK-VL*"]) assert.ok(isBare(text), text);
  for (const text of [">a\nMKVL", "# STOCKHOLM 1.0", '{"jobs": []}', '[[job]]\nname = "a"', 'sequence = "MKVL"']) assert.ok(!isBare(text), text);
});

test("empty fields of the form leave a job file's options", () => {
  const job = { name: "a", sequence: "MKVL", options: { seed: 3, recycles: 1 }, templates: [{ structure: "x" }], reuse: true };
  assert.deepEqual(withForm(job, {}, [], ""), job);
  assert.deepEqual(withForm(job, { seed: 9 }, [{ structure: "y" }], "b"), { ...job, name: "b", options: { seed: 9, recycles: 1 }, templates: [{ structure: "x" }, { structure: "y" }] });
});

test("a job is made again with all of its input and another seed", () => {
  const made = { name: "a", sequence: "MKVL", alignment: ">a\nMKVL\n", templates: [{ structure: "x" }], options: { model: "m", seed: 3, num_seeds: 2 }, priority: 7 };
  assert.deepEqual(again(made, 5), { ...made, options: { model: "m", seed: 5, num_seeds: 2 } });
  assert.equal(made.options.seed, 3);
  assert.equal(rowsOf(">a\nMK\n>b x>y\nMK\n"), 2);
});

test("problems are read, and answers that are none too", async () => {
  const body = { title: "The sequence is not valid", code: "bad_sequence", detail: "sequence:7: …", pointer: "/sequence", request_id: "r" };
  const problem = await problemOf(new Response(JSON.stringify(body), { status: 422, headers: { "content-type": "application/problem+json" } }));
  assert.deepEqual([problem.status, problem.code, problem.pointer, problem.requestId, problem.retryAfter, problem.passing], [422, "bad_sequence", "/sequence", "r", null, false]);
  const proxy = await problemOf(new Response("<h1>Bad Gateway</h1>", { status: 502, headers: { "content-type": "text/html", "retry-after": "4" } }));
  assert.deepEqual([proxy.code, proxy.retryAfter, proxy.passing], ["http_502", 4, true]);
});
