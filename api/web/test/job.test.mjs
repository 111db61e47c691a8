// What is made of events, files and selections.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { load } from "./source.mjs";

const { after, share, start, words } = await load("job/progress.ts");
const { meanPae, paeOf, residuesOf } = await load("job/structure.ts");
const { Selection } = await load("job/selection.ts");
const { runs } = await load("job/confidence.ts");
const { BANDS } = await load("viewer/colours.ts");
const { identity } = await load("job/coverage.ts");
const { green } = await load("job/heat.ts");
const fixture = (name) => gunzipSync(readFileSync(`${import.meta.dirname}/../../../tests/service/page/fixture/${name}.gz`)).toString();

const told = (events, state = "queued") => events.reduce((progress, [kind, data]) => after(progress, kind, data), start(state));
const pass = (seed, pass, mean_plddt) => ["pass", { seed, pass, passes: 3, mean_plddt, ptm: null, change: 1, seconds: 1 }];

test("progress is folded from events", () => {
  const progress = told([
    ["state", { state: "queued" }],
    ["state", { state: "running", attempts: 1 }],
    ["stage", { stage: "features" }],
    ["coverage", { rows: 3, neff: 1.5, bands: [[1, 1], [2, 0]] }],
    ["stage", { stage: "network" }],
    pass(4, 1, 30),
    pass(4, 2, 40),
    ["block", { seed: 4, pass: 3, passes: 3, block: 3, blocks: 6 }],
    ["unheard", { of: 1 }],
    ["pass", { seed: "damaged" }],
  ]);
  assert.deepEqual(progress.passes.map((one) => one.mean_plddt), [30, 40]);
  assert.equal(progress.coverage.rows, 3);
  assert.equal(words(progress, null), "folding, seed 4, pass 3 of 3");
  // Seed 4 is the second of four; half of its last third is to come.
  assert.ok(Math.abs(share(progress, { seed: 3, num_seeds: 4 }) - (1 + 2.5 / 3) / 4) < 1e-9);
});

test("another attempt begins anew, and a reason stays to the end", () => {
  const reason = { code: "out_of_memory", message: "too large" };
  const waiting = told([["state", { state: "running", attempts: 1 }], pass(0, 1, 30), ["state", { state: "retry_wait", attempts: 1, reason, due: "2026-01-01T00:00:00Z" }]]);
  assert.deepEqual([waiting.reason, waiting.due, waiting.passes.length], [reason, "2026-01-01T00:00:00Z", 1]);
  const again = after(waiting, "state", { state: "running", attempts: 2 });
  assert.deepEqual([again.reason, again.passes.length, again.attempts, again.due], [null, 0, 2, null]);
  const failed = told([["state", { state: "failed", attempts: 2, reason }], ["end", { state: "failed" }]]);
  assert.deepEqual(failed.reason, reason);
});

test("places in the queue", () => {
  assert.equal(words(start("queued"), 0), "next in the queue");
  assert.equal(words(start("queued"), 3), "3 ahead in the queue");
  assert.equal(words(start("queued"), null), "waiting in the queue");
});

test("residues, bands and PAE of a real result", () => {
  const residues = residuesOf(fixture("rank_001.pdb"));
  assert.equal(residues.map(({ letter }) => letter).join(""), "EQKIKIYVTKRRFGKLMTIIEGFDTSVIDLKELAKKLKDICACGGTVKDNTIELQGDHRKKVAEELVKMGFSRDSIEIR");
  assert.deepEqual([residues[0].plddt, residues[78].number], [31.89, 79]);
  const pae = paeOf(JSON.parse(fixture("rank_001.pae.json")));
  assert.deepEqual([pae.size, pae.most, pae.values[0], pae.values[1], pae.values[79]], [79, 31.75, 1, 3, 3]);
  assert.equal(meanPae(pae, { from: 1, to: 1 }, { from: 1, to: 3 }), 3);
  assert.equal(meanPae(pae, { from: 79, to: 79 }, { from: 78, to: 79 }), 2);
  assert.throws(() => paeOf([{ predicted_aligned_error: [[1, 2], [3]] }]), /row 2: expected 2 values, found 1/);
  assert.throws(() => paeOf([{}]), /found none/);
});

test("neighbours of one band are one range", () => {
  const residues = [95, 92, 60, 91, 40].map((plddt, at) => ({ number: at + 1, letter: "A", plddt }));
  assert.deepEqual(BANDS.map((band) => runs(residues, band)), [[{ from: 1, to: 2 }, { from: 4, to: 4 }], [], [{ from: 3, to: 3 }], [{ from: 5, to: 5 }]]);
});

test("a selection is put in order and within the chain, and told", () => {
  const selection = new Selection(10);
  let count = 0;
  selection.onChange(() => count++);
  selection.select({ from: 8, to: 3 }, { from: -4, to: 99 });
  assert.deepEqual(selection.selected, { scored: { from: 3, to: 8 }, aligned: { from: 1, to: 10 } });
  selection.pick(4);
  assert.deepEqual(selection.spans(), [{ from: 4, to: 4 }]);
  selection.point(2);
  selection.point(2);
  assert.equal(count, 3);
  selection.pick(null);
  assert.deepEqual(selection.spans(), []);
});

test("bands of identity begin with the closest; greens run from dark to white", () => {
  assert.deepEqual([0, 4].map((band) => identity(band, 5)), ["80–100%", "0–20%"]);
  assert.deepEqual([green(0), green(1), green(7)], [[0, 68, 27], [255, 255, 255], [255, 255, 255]]);
});
