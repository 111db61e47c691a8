// The page in a real browser, against the mock, or against a server that runs: `BASE=http://127.0.0.1:8080 npm test`
// (that server without keys). Screenshots go to `shots/`, or `SHOTS`.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { open, outside } from "./browser.mjs";
import { faint, hues, inside, nameless } from "./look.mjs";
import * as mock from "./mock.mjs";
import * as proxy from "./proxy.mjs";

const COLOURS = { VH: "#0053D6", C: "#65CBF3", L: "#FFDB13", VL: "#FF7D45" };
const MARK = "#D6007F";
const A3M = readFileSync(join(import.meta.dirname, "../../../data/examples/4mo0_A.a3m"), "utf8");
const shots = process.env.SHOTS ?? join(import.meta.dirname, "shots");
const real = process.env.BASE;
/** A real server folds in earnest, perhaps unoptimized and on a busy machine. */
const FOLDING = real ? 400_000 : 30_000;
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const bandOf = (plddt) => (plddt >= 90 ? "VH" : plddt >= 70 ? "C" : plddt >= 50 ? "L" : "VL");
const rgb = (colour) => `rgb(${[1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16)).join(", ")})`;

let server;
let way;
before(async () => {
  mkdirSync(shots, { recursive: true });
  server = real ? { base: real.replace(/\/$/, ""), stop() {} } : await mock.start();
  way = await proxy.start(server.base);
});
after(() => {
  way.stop();
  server.stop();
});

const shot = (page, name) => page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
const drawn = (page) => page.locator(".stage[data-ready]").waitFor();
const counts = (page, colours) => page.evaluate(hues, [".view", colours]);

/** Waits until something holds; drawing takes a moment. */
async function until(what, said, ms = 15_000) {
  const end = Date.now() + ms;
  for (;;) {
    if (await what()) return;
    assert.ok(Date.now() < end, said);
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
}

async function post(body) {
  const response = await fetch(`${way.base}/v1/jobs`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  assert.equal(response.status, 202);
  return response.json();
}

async function finished(id) {
  await until(async () => (await (await fetch(`${way.base}/v1/jobs/${id}`)).json()).state === "succeeded", "the job succeeds", FOLDING);
}

/** Nothing asked for outside, no breach of the policy, no error. */
function clean({ asked, breaches, errors }) {
  assert.ok(asked.length > 0);
  assert.deepEqual(outside(asked, way.base), [], "requests to other places");
  assert.deepEqual(breaches, [], "breaches of the policy");
  assert.deepEqual(errors, [], "errors of scripts");
}

test("from an alignment to a structure, over a connection that breaks", async (t) => {
  const visit = await open();
  t.after(visit.close);
  const { page } = visit;
  const answer = await page.goto(`${way.base}/`);
  const policy = answer.headers()["content-security-policy"] ?? "";
  for (const rule of mock.POLICY.split("; ")) assert.ok(policy.includes(rule), `the policy has ${rule}, found ${policy}`);

  // What was read is shown before anything is accepted.
  await page.getByLabel("Or files").setInputFiles({ name: "t.a3m", mimeType: "text/plain", buffer: Buffer.from(A3M) });
  const row = page.locator(".review tbody tr");
  await row.waitFor();
  assert.match(await row.innerText(), /79 residues\s+35 rows/);
  assert.equal(way.seen.filter(({ method, path }) => method === "POST" && path === "/v1/jobs").length, 0);
  await page.getByText("Options", { exact: true }).click();
  await page.getByLabel("Number of seeds").fill("2");
  await page.getByLabel("Recycles").fill("2");
  // Another one each time: a server that knows the answer tells no events.
  await page.getByLabel("Seed", { exact: true }).fill(String(10 + (Date.now() % 1_000_000)));
  await page.getByLabel("Name (optional)").fill("bands");
  way.cut.push(4, 3);
  await page.getByRole("button", { name: "Fold", exact: true }).click();
  await page.waitForURL(/\/jobs\/[0-9a-f-]{36}$/);
  const id = page.url().split("/").pop();

  // Coverage comes before folding ends.
  if (!real) {
    await page.getByRole("img", { name: /Rows of the alignment at each residue/ }).waitFor();
    assert.equal(await page.locator(".job-head .badge").getAttribute("data-state"), "running");
    await page.locator(".passes tbody tr").first().waitFor();
    await shot(page, "running");
  }
  await page.locator(".badge[data-state=succeeded]").waitFor({ timeout: FOLDING });
  await drawn(page);

  // Two streams were cut; each began where the one before ended, and no event was told twice.
  const streams = way.seen.filter(({ path }) => path === `/v1/jobs/${id}/events`);
  assert.equal(streams.length, 3);
  assert.deepEqual(streams.map(({ lastEventId }) => lastEventId), [null, "4", "7"]);
  assert.equal(await page.locator(".passes tbody tr").count(), 6, "3 passes of 2 seeds");
  assert.ok(await page.locator(".lost").isHidden());

  // Every residue has the colour of its pLDDT in the file.
  const pdb = await (await fetch(`${way.base}/v1/jobs/${id}/files/rank_001.pdb`)).text();
  const plddt = pdb.split("\n").filter((line) => line.startsWith("ATOM") && line.slice(12, 16) === " CA ").map((line) => Number(line.slice(60, 66)));
  assert.equal(plddt.length, 79);
  const cells = await page.locator(".sequence b").evaluateAll((all) => all.map((cell) => getComputedStyle(cell).backgroundColor));
  assert.deepEqual(cells, plddt.map((value) => rgb(COLOURS[bandOf(value)])));
  const present = new Set(plddt.map(bandOf));
  if (!real) assert.equal(present.size, 4);
  const names = Object.keys(COLOURS);
  const seen = await counts(page, Object.values(COLOURS));
  names.forEach((name, at) => assert.ok(present.has(name) ? seen[at] > 300 : seen[at] < 300, `${name}: ${seen[at]} pixels in the 3D view`));

  // PAE → 3D: what is dragged over is marked.
  const marked = async () => (await counts(page, [MARK]))[0];
  const before = await marked();
  const map = page.locator("canvas.pae");
  await map.scrollIntoViewIfNeeded();
  const box = await map.boundingBox();
  const side = box.width - 58;
  const at = (residue) => (side * (residue - 0.5)) / 79;
  await page.mouse.move(box.x + 52 + at(10), box.y + 6 + at(40));
  await page.mouse.down();
  await page.mouse.move(box.x + 52 + at(20), box.y + 6 + at(60), { steps: 5 });
  await page.mouse.up();
  const values = () => page.locator(".ranges input").evaluateAll((all) => all.map((input) => input.value));
  assert.deepEqual(await values(), ["10", "20", "40", "60"]);
  const chosen = await page.locator(".sequence .selected").evaluateAll((all) => all.map((cell) => Number(cell.dataset.residue)));
  assert.deepEqual(chosen, [...Array(11).keys()].map((k) => k + 10).concat([...Array(21).keys()].map((k) => k + 40)));
  await until(async () => (await marked()) > before + 200, "the selection is marked in 3D");
  await page.mouse.move(5, 5);
  await shot(page, "light");

  // 3D → PAE: a residue that is clicked becomes a row and a column.
  await page.getByRole("button", { name: "Clear" }).click();
  await until(async () => (await marked()) < before + 50, "the mark is gone");
  await page.locator(".view").scrollIntoViewIfNeeded();
  const view = await page.locator(".view").boundingBox();
  const places = await page.evaluate(inside, ".view");
  assert.ok(places.length > 20, `${places.length} places to point at`);
  let hit = null;
  for (let k = 0; k < 8 && !hit; k++) {
    const [x, y] = places[Math.floor(((k + 0.5) * places.length) / 8)];
    await page.mouse.move(view.x + x - 2, view.y + y);
    await page.mouse.move(view.x + x, view.y + y);
    const tip = page.locator(".tip");
    for (let wait = 0; wait < 20 && !hit; wait++) {
      await page.waitForTimeout(100);
      const residue = /^[A-Z](\d+)/.exec(await tip.innerText())?.[1];
      if (residue) hit = { x: view.x + x, y: view.y + y, residue };
    }
  }
  assert.ok(hit, "the pointer finds a residue in 3D");
  assert.ok(await page.locator(`.sequence .pointed[data-residue="${hit.residue}"]`).count(), "the sequence shows what is pointed at");
  const picture = await map.evaluate((canvas) => canvas.toDataURL());
  await page.mouse.click(hit.x, hit.y);
  await until(async () => (await values()).every((value) => value === hit.residue), `the map selects ${hit.residue}`);
  await page.mouse.move(5, 5);
  await until(async () => (await map.evaluate((canvas) => canvas.toDataURL())) !== picture, "the map draws it");
  await shot(page, "picked");

  // By keys alone: the same ranges.
  await page.getByLabel("Scored from").fill("3");
  await page.locator(".ranges input").nth(1).fill("5");
  await page.getByLabel("Aligned from").fill("7");
  await page.locator(".ranges input").nth(3).fill("9");
  await page.locator(".ranges input").nth(3).press("Enter");
  assert.match(await page.locator(".pae-view .readout").innerText(), /scored 3–5, aligned 7–9; mean error [\d.]+ Å/);
  await map.focus();
  await page.keyboard.press("Escape");
  assert.deepEqual(await values(), ["", "", "", ""]);
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Shift+ArrowRight");
  await page.keyboard.press("Shift+ArrowDown");
  const keyed = (await values()).map(Number);
  assert.deepEqual([keyed[1] - keyed[0], keyed[3] - keyed[2]], [1, 1]);

  // The other model.
  await page.getByLabel("Rank 2").check();
  await until(async () => (await page.locator(".sequence b").first().getAttribute("title")) !== null, "the sequence of the other model");
  const second = await (await fetch(`${way.base}/v1/jobs/${id}/files/rank_002.pdb`)).text();
  const firstOf = (text) => Number(text.split("\n").find((line) => line.startsWith("ATOM")).slice(60, 66)).toFixed(1);
  await until(async () => (await page.locator(".sequence b").first().getAttribute("title")).includes(firstOf(second)), "pLDDT of the other model");

  // What is downloaded is what the server says.
  const job = await (await fetch(`${way.base}/v1/jobs/${id}`)).json();
  const item = job.result.files.find(({ name }) => name === "rank_001.pdb");
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "rank_001.pdb" }).click()]);
  assert.equal(sha256(readFileSync(await download.path())), item.sha256);
  const [archive] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: /Download all/ }).click()]);
  assert.equal(archive.suggestedFilename(), "bands.zip");
  const packed = readFileSync(await archive.path());
  assert.equal(packed.subarray(0, 4).toString("latin1"), "PK\x03\x04");
  for (const { name } of job.result.files) assert.ok(packed.includes(`bands/${name}`), `the archive holds ${name}`);

  // Again, with another seed and the same alignment.
  await page.getByLabel("Another seed").fill("7");
  await page.getByRole("button", { name: "Fold again" }).click();
  await page.waitForURL((url) => url.pathname !== `/jobs/${id}` && url.pathname.startsWith("/jobs/"));
  const next = await (await fetch(`${way.base}/v1/jobs/${page.url().split("/").pop()}`)).json();
  assert.deepEqual([next.options.seed, next.msa_rows, next.sequence, next.options.recycles], [7, 35, job.sequence, 2]);
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "H1");
  clean(visit);
});

test("dark, and at 400 pixels", async (t) => {
  const job = await post({ name: "bands-small", alignment: A3M, options: { recycles: 1 } });
  await finished(job.id);
  const visit = await open({ colorScheme: "dark", viewport: { width: 400, height: 800 } });
  t.after(visit.close);
  const { page } = visit;
  for (const [path, name] of [["/", "home"], [`/jobs/${job.id}`, "job"]]) {
    await page.goto(`${way.base}${path}`);
    if (name === "job") await drawn(page);
    else await page.locator(".queue tbody tr").first().waitFor();
    for (const [scheme, width] of [["dark", 400], ["light", 400], ["dark", 1200], ["light", 1200]]) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize({ width, height: 800 });
      await page.waitForTimeout(700);
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, `${name} fits ${width} pixels`);
      assert.deepEqual(await page.evaluate(faint), [], `contrast of ${name}, ${scheme}`);
      assert.deepEqual(await page.evaluate(nameless), [], `names of controls of ${name}`);
      await shot(page, `${name}-${scheme}-${width}`);
    }
  }
  clean(visit);
});

test("without WebGL everything else works", async (t) => {
  const job = await post({ name: "bands-flat", alignment: A3M, options: { recycles: 1 } });
  await finished(job.id);
  const visit = await open({ webgl: false });
  t.after(visit.close);
  const { page } = visit;
  await page.goto(`${way.base}/jobs/${job.id}`);
  await page.getByText("No 3D view: this browser offers no WebGL").waitFor();
  await page.locator("canvas.pae").waitFor();
  assert.equal(await page.locator(".sequence b").count(), 79);
  await page.locator(".sequence b").nth(4).click();
  assert.deepEqual(await page.locator(".ranges input").evaluateAll((all) => all.map((input) => input.value)), ["5", "5", "5", "5"]);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "rank_001.pdb" }).click()]);
  assert.ok(readFileSync(await download.path()).length > 1000);
  assert.ok(!visit.asked.some((url) => url.endsWith("/viewer.js")), "Mol* is not even loaded");
  await shot(page, "no-webgl");
  clean(visit);
});

test("what is wrong is shown where it is wrong", async (t) => {
  const visit = await open();
  t.after(visit.close);
  const { page } = visit;
  await page.goto(`${way.base}/`);
  const text = page.getByLabel("Sequence, FASTA or A3M");
  const fold = page.getByRole("button", { name: "Fold", exact: true });
  await fold.click();
  await page.getByText("There is nothing to fold").waitFor();
  await text.fill("MKVL\nAA1GIV");
  await fold.click();
  await page.getByText("sequence:7: expected an amino-acid letter, found `1`").waitFor();
  assert.equal(await text.getAttribute("aria-invalid"), "true");
  assert.equal(await text.evaluate((field) => field.value.slice(field.selectionStart, field.selectionEnd)), "1");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "TEXTAREA");
  await text.fill("MKVLAAGIV");
  await page.getByText("Options", { exact: true }).click();
  const seed = page.getByLabel("Seed", { exact: true });
  await seed.fill("9007199254740991");
  await page.getByLabel("Number of seeds").fill("2");
  await page.getByText("Options", { exact: true }).click();
  await fold.click();
  await page.getByText(/options\.seed: expected/).waitFor();
  assert.equal(await seed.getAttribute("aria-invalid"), "true");
  assert.ok(await seed.isVisible(), "its options are opened");
  await shot(page, "wrong");
  await page.getByLabel("Recycles").fill("1000000");
  await page.getByText("Options", { exact: true }).click();
  await fold.click();
  assert.ok(await page.getByLabel("Recycles").isVisible(), "a field that the browser refuses is shown");
  await page.getByLabel("Recycles").fill("");
  await page.getByLabel("Or files").setInputFiles({ name: "x.bin", mimeType: "text/plain", buffer: Buffer.from("nothing\u0001 of use") });
  await page.locator(".problem").waitFor();
  assert.match(await page.locator(".problem").innerText(), /x\.bin/);

  // Several chains are shown first; then they are accepted together.
  await seed.fill("");
  await page.getByLabel("Number of seeds").fill("");
  await text.fill(">a\nMKVLAAGIV\n>b\nMKVLAAGIVGLLLAQ\n");
  await fold.click();
  await page.getByRole("button", { name: "Fold 2 jobs" }).click();
  await page.getByText("Accepted 2 jobs").waitFor();
  await page.locator(".queue").getByRole("link", { name: "b", exact: true }).waitFor();
  clean(visit);
});

test("the list: places, progress, cancelling, pages", { skip: real ? "needs a job that does not end" : false }, async (t) => {
  const visit = await open();
  t.after(visit.close);
  const { page } = visit;
  const hold = await post({ name: "hold-1", sequence: "MKVLAAGIV" });
  const waiting = [];
  for (let k = 1; k <= 24; k++) waiting.push(await post({ name: `wait-${k}`, sequence: "MKVLAAGIV" }));
  await page.goto(`${way.base}/`);
  await page.locator(".queue tbody tr").nth(19).waitFor();
  assert.equal(await page.locator(".queue tbody tr").count(), 20);
  await page.getByRole("button", { name: "Older" }).click();
  const row = (name) => page.locator(".queue tbody tr").filter({ has: page.getByRole("link", { name, exact: true }) });
  await row("hold-1").getByText("folding").waitFor();
  await row("wait-1").getByText("next in the queue").waitFor();
  await row("wait-3").getByText("2 ahead in the queue").waitFor();
  await shot(page, "queue");
  await page.getByRole("button", { name: "Cancel wait-1", exact: true }).click();
  await row("wait-1").locator("[data-state=cancelled]").waitFor();
  await row("wait-3").getByText("1 ahead in the queue").waitFor();
  await row("hold-1").getByRole("link").click();
  await page.locator(".job-head [data-state=running]").waitFor();
  for (const { id } of waiting.slice(2)) await fetch(`${way.base}/v1/jobs/${id}`, { method: "DELETE" });
  await page.getByRole("button", { name: "Cancel job" }).click();
  await page.locator(".job-head [data-state=cancelled]").waitFor();
  assert.equal(page.url(), `${way.base}/jobs/${hold.id}`);
  await page.goBack();
  await page.getByLabel("State").selectOption("cancelled");
  await row("wait-24").waitFor();
  await until(async () => (await page.locator(".queue tbody tr").count()) === 20, "a page of cancelled ones");
  clean(visit);
});

test("failures say why; a model without PAE has no map", { skip: real ? "needs jobs that fail" : false }, async (t) => {
  const visit = await open();
  t.after(visit.close);
  const { page } = visit;
  const [failed, flat] = [await post({ name: "fail-1", sequence: "MKVLAAGIV" }), await post({ name: "nopae-1", sequence: "MKVLAAGIV" })];
  await page.goto(`${way.base}/jobs/${failed.id}`);
  await page.getByText("expected at most 2.0 GB, the job needs 3.1 GB").waitFor();
  await page.getByText("out_of_memory").waitFor();
  assert.equal(await page.getByText("the mock folds nothing").count(), 1);
  await shot(page, "failed");
  await page.goto(`${way.base}/jobs/${flat.id}`);
  await page.getByText("predicts no aligned error (PAE), so there is no map").waitFor();
  await drawn(page);
  await page.goto(`${way.base}/jobs/00000000-0000-0000-0000-000000000000`);
  await page.getByText("expected the id of a job, found another").waitFor();
  clean(visit);
});

test("the watch itself sees what is forbidden", async (t) => {
  const visit = await open();
  t.after(visit.close);
  await visit.page.goto(`${way.base}/`);
  await visit.page.evaluate(() => {
    new Image().src = "http://127.0.0.1:9/x.png";
    document.body.setAttribute("style", "color: red");
  });
  await until(() => visit.breaches.some((text) => text.startsWith("img-src")) && visit.breaches.some((text) => text.startsWith("style-src")), "both breaches are seen");
});

test("a server with keys asks for one, once", { skip: real ? "needs a server with keys" : false }, async (t) => {
  const locked = await mock.start({ key: "foldry_1.secret", step: 5 });
  const guard = await proxy.start(locked.base);
  t.after(() => (guard.stop(), locked.stop()));
  const visit = await open();
  t.after(visit.close);
  const { page } = visit;
  await page.goto(`${guard.base}/`);
  await page.getByRole("dialog").waitFor();
  assert.equal(await page.getByRole("dialog").count(), 1);
  await page.getByLabel("Key", { exact: true }).fill("foldry_1.wrong");
  await page.getByRole("button", { name: "Use key" }).click();
  await page.getByText("the key is unknown or was revoked").waitFor();
  await page.getByLabel("Key", { exact: true }).fill("foldry_1.secret");
  await page.getByRole("button", { name: "Use key" }).click();
  await page.getByText("No jobs here yet").waitFor();
  await page.getByRole("button", { name: "Use an example" }).click();
  await page.getByRole("button", { name: "Fold", exact: true }).click();
  await drawn(page);
  // A link cannot send a key; the page fetches for it.
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "rank_001.pdb" }).click()]);
  const files = await (await fetch(`${locked.base}/v1/jobs/${page.url().split("/").pop()}`, { headers: { Authorization: "Bearer foldry_1.secret" } })).json();
  assert.equal(sha256(readFileSync(await download.path())), files.result.files[0].sha256);
  assert.equal(await page.evaluate(() => localStorage.length), 0);
  assert.ok(guard.seen.filter(({ path }) => path.endsWith("/events")).every(({ authorization }) => authorization === "Bearer foldry_1.secret"));
  await page.getByRole("button", { name: "Forget API key" }).click();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  assert.deepEqual(outside(visit.asked, guard.base), []);
  assert.deepEqual(visit.breaches, []);
});
