// The service's HTTP contract (docs/service.md) without folding: for work on the page, and for its test.
// Every job gets the same real result, made from data/examples/4mo0_A.a3m by the built-in model. Names steer what happens:
// `fail…` fails, `hold…` never ends, `nopae…` has no PAE, `bands…` has pLDDT that runs through all four bands.
//
// `node mock.mjs [PORT]` serves; `start()` is for tests.

import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { crc32, gunzipSync } from "node:zlib";

const here = import.meta.dirname;
const dist = join(here, "../../../api/web/dist");
export const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const fixture = (name) => gunzipSync(readFileSync(join(here, "fixture", `${name}.gz`)));
const EXAMPLE = { pdb: fixture("rank_001.pdb"), cif: fixture("rank_001.cif"), pae: fixture("rank_001.pae.json") };
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const WEIGHTS = "904be14320afb11a985eb83a67b815be77501f257bd8d18f45d858c9b7a75eca";
const LIMITS = { body_bytes: 64 << 20, residues: 2000, rows: 50000, templates: 20, batch: 100, recycles: 48, num_seeds: 100 };
const TERMINAL = ["succeeded", "failed", "cancelled"];
const now = () => new Date().toISOString();
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

class Refusal extends Error {
  constructor(status, code, detail, pointer) {
    super(detail);
    Object.assign(this, { status, code, pointer });
  }
}

/** @param {{step?: number, key?: string, port?: number}} options  milliseconds between events, the key that is wanted */
export async function start({ step = 60, key = null, port = 0 } = {}) {
  const jobs = [];
  const keys = new Map();
  let busy = Promise.resolve();

  const tell = (job, kind, data) => {
    job.events.push({ id: job.events.length + 1, kind, data: { ...data, at: now() } });
    for (const wake of job.waiting.splice(0)) wake();
  };
  const move = (job, state, data = {}) => {
    job.state = state;
    if (state === "running") job.started ??= now();
    if (TERMINAL.includes(state)) job.finished = now();
    tell(job, "state", { state, ...data });
  };
  const view = (job, whole) => ({
    id: job.id, name: job.name, state: job.state, residues: job.sequence.length, msa_rows: job.alignment ? rows(job.alignment).length : null, sequence: job.sequence, options: job.options,
    weights_sha256: WEIGHTS, priority: job.priority, attempts: job.attempts, max_attempts: 5, created: job.created, started: job.started, finished: job.finished, due: null, reason: job.reason,
    position: whole && job.state === "queued" ? jobs.filter((other) => other.state === "queued" && other.seq < job.seq).length : null,
    reused: false, expired: false, last_event: job.events.length, ...(whole && job.product ? { result: job.product } : {}),
    links: { self: `/v1/jobs/${job.id}`, events: `/v1/jobs/${job.id}/events`, result: `/v1/jobs/${job.id}/result` },
  });

  /** One job after the other, as a server with one worker. */
  const run = async (job) => {
    if (job.state !== "queued") return;
    const going = () => job.state === "running";
    const say = async (kind, data) => {
      await sleep(step);
      if (going()) tell(job, kind, data);
    };
    job.attempts = 1;
    move(job, "running", { attempts: 1, worker: "mock" });
    await say("stage", { stage: "load" });
    await say("stage", { stage: "features" });
    if (job.alignment) await say("coverage", coverage(job.alignment));
    await say("plan", { bytes: 52_000_000, seconds: 1.5 });
    await say("note", { text: "the mock folds nothing: every result is that of 4mo0_A" });
    await say("stage", { stage: "network" });
    while (going() && job.name.startsWith("hold")) await sleep(20);
    const passes = (job.options.recycles ?? 3) + 1;
    for (let s = 0; s < job.options.num_seeds; s++) {
      const seed = job.options.seed + s;
      for (let pass = 1; pass <= passes; pass++) {
        for (let block = 2; block <= 6; block += 2) await say("block", { seed, pass, passes, block, blocks: 6 });
        await say("pass", { seed, pass, passes, mean_plddt: 30 + 5.2 * (1 - 0.5 ** pass), ptm: 0.14 + 0.001 * pass, change: 9.23 / pass, seconds: 0.9 });
      }
    }
    if (going() && job.name.startsWith("fail")) {
      job.reason = { code: "out_of_memory", message: "expected at most 2.0 GB, the job needs 3.1 GB; twice" };
      return move(job, "failed", { attempts: 1, reason: job.reason });
    }
    await say("stage", { stage: "write" });
    if (!going()) return;
    Object.assign(job, product(job));
    move(job, "succeeded");
  };

  const accept = (body, at = "") => {
    const job = checked(body, at);
    Object.assign(job, { id: randomUUID(), seq: jobs.length + 1, state: "queued", attempts: 0, created: now(), started: null, finished: null, reason: null, events: [], waiting: [] });
    return job;
  };
  const enqueue = (job) => {
    jobs.push(job);
    tell(job, "state", { state: "queued" });
    // A moment in the queue, so that it can be seen there.
    busy = busy.then(() => sleep(step)).then(() => run(job));
  };
  const find = (id) => jobs.find((job) => job.id === id) ?? refuse(404, "not_found", "expected the id of a job, found another");
  const finished = (job) => job.product ?? refuse(409, TERMINAL.includes(job.state) ? "no_result" : "not_finished", `expected a job that succeeded, found one that is ${job.state}`);

  const routes = [
    ["GET", /^\/v1\/engine$/, () => ({ version: "foldry 0.1.0", device_class: "cpu", device: "mock", models: [{ name: "mini", weights_sha256: WEIGHTS, about: "0.5 million parameters; of no use but to try things" }, { name: "model_1_ptm", weights_sha256: WEIGHTS, about: "AlphaFold2, with PAE" }], limits: LIMITS })],
    ["POST", /^\/v1\/inputs$/, async ({ url, body }) => inputs(url.searchParams.get("name") ?? "input", await body())],
    ["POST", /^\/v1\/(jobs|batches)$/, async ({ url, request, response, body }) => {
      const text = (await body()).toString();
      let sent;
      try {
        sent = JSON.parse(text);
      } catch (error) {
        refuse(400, "bad_json", error.message);
      }
      const once = request.headers["idempotency-key"];
      const known = once && keys.get(once);
      if (known && known.text !== text) refuse(422, "key_reused", "the idempotency key was used for another request");
      const one = url.pathname === "/v1/jobs";
      const accepted = known?.jobs ?? (one ? [accept(sent)] : sent.jobs.map((job, at) => accept(job, `/jobs/${at}`)));
      if (!known) accepted.forEach(enqueue);
      if (once) keys.set(once, { text, jobs: accepted });
      response.statusCode = 202;
      if (one) response.setHeader("Location", `/v1/jobs/${accepted[0].id}`);
      return one ? view(accepted[0], true) : { jobs: accepted.map((job) => view(job, false)) };
    }],
    ["GET", /^\/v1\/jobs$/, ({ url }) => {
      const [state, before, limit] = [url.searchParams.get("state"), Number(url.searchParams.get("cursor") ?? Infinity), Number(url.searchParams.get("limit") ?? 50)];
      const all = jobs.filter((job) => job.seq < before && (!state || job.state === state)).reverse();
      return { jobs: all.slice(0, limit).map((job) => view(job, false)), next: all.length > limit ? String(all[limit - 1].seq) : null };
    }],
    ["GET", /^\/v1\/jobs\/([^/]+)$/, ({ part }) => view(find(part[0]), true)],
    ["DELETE", /^\/v1\/jobs\/([^/]+)$/, ({ part }) => {
      const job = find(part[0]);
      if (job.state === "running") move(job, "cancelling");
      if (!TERMINAL.includes(job.state)) move(job, "cancelled");
      return view(job, true);
    }],
    ["GET", /^\/v1\/jobs\/([^/]+)\/events$/, async ({ part, request, response }) => {
      const job = find(part[0]);
      let after = Number(request.headers["last-event-id"] ?? 0);
      response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform" });
      response.write("retry: 2000\n\n");
      let open = true;
      response.on("close", () => (open = false));
      while (open) {
        for (const { id, kind, data } of job.events.slice(after)) {
          response.write(`id: ${id}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`);
          after = id;
        }
        if (TERMINAL.includes(job.state)) return void response.end(`id: ${after}\nevent: end\ndata: ${JSON.stringify({ at: job.finished, state: job.state })}\n\n`);
        await Promise.race([new Promise((wake) => job.waiting.push(wake)), sleep(15_000).then(() => response.write(": still here\n\n"))]);
      }
    }],
    ["GET", /^\/v1\/jobs\/([^/]+)\/result$/, ({ part, request, response, url }) => {
      const job = find(part[0]);
      const result = finished(job);
      const accept = request.headers.accept ?? "*/*";
      const stem = `rank_${(url.searchParams.get("rank") ?? "1").padStart(3, "0")}`;
      if (accept.includes("application/zip")) return bytes(response, "application/zip", zip(job.name, job.files), `${job.name}.zip`);
      if (accept.includes("application/json")) return result;
      const ending = accept.includes("mmcif") ? "cif" : "pdb";
      return bytes(response, `chemical/x-${ending === "cif" ? "mmcif" : "pdb"}`, job.files.get(`${stem}.${ending}`) ?? refuse(404, "not_found", "expected a rank of the result, found another"), `${job.name}_${stem}.${ending}`);
    }],
    ["GET", /^\/v1\/jobs\/([^/]+)\/files\/([^/]+)$/, ({ part, response }) => {
      const job = find(part[0]);
      finished(job);
      return bytes(response, "application/octet-stream", job.files.get(part[1]) ?? refuse(404, "not_found", "expected the name of a file of the result, found another"), `${job.name}_${part[1]}`);
    }],
    ["GET", /^\/v1\/jobs\/([^/]+)\/input$/, ({ part }) => {
      const { name, sequence, alignment, templates, options, priority } = find(part[0]);
      return { name, sequence, ...(alignment ? { alignment } : {}), templates, options, priority };
    }],
  ];

  const server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://mock");
    const body = async () => {
      const parts = [];
      for await (const part of request) parts.push(part);
      return Buffer.concat(parts);
    };
    response.setHeader("X-Content-Type-Options", "nosniff");
    try {
      if (!url.pathname.startsWith("/v1/")) return page(url.pathname, response);
      if (key !== null && request.headers.authorization !== `Bearer ${key}`) refuse(401, "unauthorized", request.headers.authorization ? "the key is unknown or was revoked" : "expected a header `Authorization: Bearer KEY`, found none");
      for (const [method, pattern, answer] of routes) {
        const match = pattern.exec(url.pathname);
        if (!match || method !== request.method) continue;
        const found = await answer({ url, request, response, body, part: match.slice(1).map(decodeURIComponent) });
        if (found !== undefined && !response.writableEnded) response.setHeader("Content-Type", "application/json").end(JSON.stringify(found));
        return;
      }
      refuse(404, "not_found", "expected a route of this server, found another path");
    } catch (error) {
      if (!(error instanceof Refusal)) console.error(error);
      const { status = 500, code = "internal", pointer } = error;
      if (response.headersSent) return response.destroy();
      response.writeHead(status, { "Content-Type": "application/problem+json" });
      response.end(JSON.stringify({ type: "about:blank", title: code.replaceAll("_", " "), status, code, detail: error.message, pointer, request_id: randomUUID() }));
    }
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  return { base: `http://127.0.0.1:${server.address().port}`, stop: () => (server.closeAllConnections(), server.close()) };
}

function refuse(status, code, detail, pointer) {
  throw new Refusal(status, code, detail, pointer);
}

/** The page, as the server sends it: packed bytes as they are. */
function page(path, response) {
  const files = JSON.parse(readFileSync(join(dist, "files.json"), "utf8"));
  const wanted = path === "/" || path.startsWith("/jobs/") ? "/index.html" : path;
  const file = files.find((one) => one.path === wanted) ?? refuse(404, "not_found", "expected a route of this server, found another path");
  response.writeHead(200, { "Content-Type": file.type, "Content-Encoding": "gzip", "Content-Security-Policy": POLICY, ETag: `"${file.sha256}"`, "Cache-Control": "no-cache" });
  response.end(readFileSync(join(dist, file.file)));
}

function bytes(response, type, content, name) {
  response.writeHead(200, { "Content-Type": type, ETag: `"${sha256(content)}"`, "Content-Disposition": `attachment; filename="${name}"` });
  response.end(content);
}

function checked(body, at) {
  const bad = (pointer, detail, code = "bad_field") => refuse(422, code, `${pointer.slice(1).replaceAll("/", ".")}${detail}`, at + pointer);
  const known = ["name", "sequence", "alignment", "templates", "options", "priority", "max_attempts", "webhook", "reuse"];
  for (const field of Object.keys(body)) if (!known.includes(field)) bad(`/${field}`, ": expected no such field, found one");
  if (body.alignment && !body.alignment.startsWith(">")) bad("/alignment", ":1: expected `>`, found another", "bad_alignment");
  const sequence = body.sequence ?? (body.alignment && rows(body.alignment)[0].letters) ?? bad("", "expected `sequence`, `alignment` or both, found neither");
  const wrong = sequence.search(/[^A-Za-z]/);
  if (wrong >= 0) bad("/sequence", `:${wrong + 1}: expected an amino-acid letter, found \`${sequence[wrong]}\``, "bad_sequence");
  const options = { model: "auto", recycles: null, recycle_tolerance: 0, seed: 0, num_seeds: 1, max_msa: null, ...body.options };
  if (options.model === "auto") options.model = "mini";
  if (options.num_seeds > LIMITS.num_seeds) bad("/options/num_seeds", `: expected 1 to ${LIMITS.num_seeds}, found ${options.num_seeds}`);
  if (options.seed > Number.MAX_SAFE_INTEGER - 1000) bad("/options/seed", `: expected 0 to 9007199254740991, found ${options.seed}`);
  (body.templates ?? []).forEach((template, index) => /ATOM/.test(template.structure) || bad(`/templates/${index}/structure`, ": expected atoms, found none", "bad_template"));
  const name = (body.name ?? (body.alignment ? rows(body.alignment)[0].name : "") ?? "").replace(/[^\w.-]/g, "_") || "target";
  return { name, sequence: sequence.toUpperCase(), alignment: body.alignment ?? null, templates: body.templates ?? [], options, priority: body.priority ?? 0 };
}

function rows(a3m) {
  return a3m.split(/^>/m).slice(1).map((record) => {
    const [header, ...lines] = record.split("\n");
    return { name: header.trim().split(/\s+/)[0], letters: lines.join("").replace(/[a-z\s.]/g, "") };
  });
}

/** FASTA and A3M only: rows as long as each other are an alignment. */
function inputs(name, content) {
  const text = (content[0] === 0x1f ? gunzipSync(content) : content).toString();
  if (!text.startsWith(">")) refuse(422, "bad_input", `${name}:1: expected \`>\`, found another`);
  const all = rows(text);
  const base = { reuse: true, priority: 0, templates: [], options: {} };
  if (all.length > 1 && (name.endsWith(".a3m") || all.every(({ letters }) => letters.length === all[0].letters.length))) {
    return { jobs: [{ ...base, name: all[0].name, sequence: all[0].letters, alignment: text }], notes: [] };
  }
  return { jobs: all.map(({ name, letters }) => ({ ...base, name, sequence: letters })), notes: [] };
}

/** As `msa::depth::coverage_by_identity`, the closest band first. */
function coverage(a3m) {
  const all = rows(a3m);
  const query = all[0].letters;
  const bands = Array.from({ length: 5 }, () => new Array(query.length).fill(0));
  for (const { letters } of all) {
    let [aligned, same] = [0, 0];
    for (let i = 0; i < query.length; i++) {
      if (letters[i] === "-") continue;
      aligned++;
      same += letters[i] === query[i];
    }
    const bin = Math.min(5, Math.max(1, Math.ceil((5 * same) / Math.max(1, aligned)))) - 1;
    for (let i = 0; i < query.length; i++) bands[4 - bin][i] += letters[i] !== "-";
  }
  return { rows: all.length, neff: all.length / 2, bands };
}

function product(job) {
  const files = new Map();
  const ranking = [];
  for (let s = 0; s < job.options.num_seeds; s++) {
    const stem = `rank_${String(s + 1).padStart(3, "0")}`;
    files.set(`${stem}.pdb`, s === 0 && job.name.startsWith("bands") ? ramp(EXAMPLE.pdb) : EXAMPLE.pdb);
    files.set(`${stem}.cif`, EXAMPLE.cif);
    if (!job.name.startsWith("nopae")) files.set(`${stem}.pae.json`, EXAMPLE.pae);
    ranking.push({ rank: s + 1, seed: job.options.seed + s, mean_plddt: 35.2 - s, ptm: 0.146, passes: (job.options.recycles ?? 3) + 1 });
  }
  files.set("report.html", Buffer.from("<!doctype html><title>report</title><p>A report."));
  const items = [...files].map(([name, content]) => ({ name, sha256: sha256(content), bytes: content.length }));
  return { files, product: { version: "foldry 0.1.0", device: "mock", model: job.options.model, weights_sha256: WEIGHTS, residues: 79, seconds: 1.1, ranking, files: items } };
}

/** pLDDT from 30 at the first residue to 98 at the last. */
function ramp(pdb) {
  const value = (number) => (30 + (68 * (number - 1)) / 78).toFixed(2).padStart(6);
  return Buffer.from(pdb.toString().split("\n").map((line) => (line.startsWith("ATOM") ? line.slice(0, 60) + value(Number(line.slice(22, 26))) + line.slice(66) : line)).join("\n"));
}

/** Stored, not compressed. */
function zip(folder, files) {
  const [parts, central] = [[], []];
  let at = 0;
  for (const [name, content] of files) {
    const path = Buffer.from(`${folder}/${name}`);
    const head = Buffer.alloc(26);
    head.writeUInt16LE(20, 0);
    head.writeUInt32LE(crc32(content), 10);
    head.writeUInt32LE(content.length, 14);
    head.writeUInt32LE(content.length, 18);
    head.writeUInt16LE(path.length, 22);
    parts.push(Buffer.from("PK\x03\x04"), head, path, content);
    const place = Buffer.alloc(16);
    place.writeUInt32LE(at, 12);
    central.push(Buffer.from("PK\x01\x02\x14\x00"), head.subarray(0, 24), Buffer.alloc(2), place.subarray(2), path);
    at += 30 + path.length + content.length;
  }
  const list = Buffer.concat(central);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(files.size, 4);
  end.writeUInt16LE(files.size, 6);
  end.writeUInt32LE(list.length, 8);
  end.writeUInt32LE(at, 12);
  return Buffer.concat([...parts, list, Buffer.from("PK\x05\x06"), end]);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { base } = await start({ port: Number(process.argv[2] ?? 8080), step: 250, key: process.env.MOCK_KEY ?? null });
  console.log(`the mock listens on ${base}`);
}
