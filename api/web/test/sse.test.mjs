// Events over connections that break.

import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./source.mjs";

const { EventParser, follow } = await load("api/sse.ts");
const { Problem } = await load("api/problem.ts");

const TEXT = ': hello\nretry: 2000\n\nid: 1\nevent: state\ndata: {"state":"queued"}\n\nid: 2\r\nevent: pass\r\ndata: {"a":\r\ndata: 1}\r\n\r\n: still here\n\nevent: empty\n\ndata:x\n\n';

test("events are the same in whatever pieces they come", () => {
  const expected = [
    { id: 1, kind: "state", data: '{"state":"queued"}' },
    { id: 2, kind: "pass", data: '{"a":\n1}' },
    { id: 2, kind: "message", data: "x" },
  ];
  for (let size = 1; size <= TEXT.length; size++) {
    const parser = new EventParser();
    const found = [];
    for (let at = 0; at < TEXT.length; at += size) found.push(...parser.push(TEXT.slice(at, at + size)));
    assert.deepEqual(found, expected, `pieces of ${size}`);
    assert.equal(parser.retry, 2000);
  }
});

const event = (id, kind = "pass") => `id: ${id}\nevent: ${kind}\ndata: {"n":${id}}\n\n`;
const answer = (text, fails = false) =>
  new Response(
    new ReadableStream({
      pull(controller) {
        if (text) {
          controller.enqueue(new TextEncoder().encode(text));
          text = "";
        } else if (fails) controller.error(new TypeError("network error"));
        else controller.close();
      },
    }),
  );

async function run(answers, after = 0) {
  const [told, asked, waits, connection] = [[], [], [], []];
  const open = async (_, { headers }) => {
    asked.push(headers["Last-Event-ID"] ?? null);
    const next = answers.shift();
    if (next instanceof Error) throw next;
    return next();
  };
  const stop = new AbortController();
  const ended = follow("/x", { after, signal: stop.signal, open, sleep: async (ms) => void waits.push(ms), onEvent: (kind, data) => told.push([kind, data.n]), onConnection: (wait) => connection.push(wait === null) });
  await ended;
  return { told, asked, waits, connection };
}

test("it goes on where it was, and tells each event once", async () => {
  const { told, asked, connection } = await run([
    () => answer(event(1) + event(2)),
    () => answer(event(3) + "id: 4\nevent: pa", true),
    new Problem(503, "closing", "", "", null, null, 3),
    // A server that tells again what is known.
    () => answer(event(2) + event(3) + event(4) + event(4, "end")),
  ]);
  assert.deepEqual(told, [["pass", 1], ["pass", 2], ["pass", 3], ["pass", 4], ["end", 4]]);
  assert.deepEqual(asked, [null, "2", "3", "3"]);
  assert.deepEqual(connection, [true, false, true, false, false, true]);
});

test("it waits longer each time, as long as it is asked to, and never too long", async () => {
  const lost = () => answer("");
  const { waits } = await run([lost, lost, lost, lost, lost, lost, lost, lost, new Problem(429, "", "", "", null, null, 9), () => answer(event(1, "end"))], 0);
  for (let k = 0; k < 5; k++) assert.ok(waits[k] >= 0.75 * 500 * 2 ** k && waits[k] <= 1.25 * 500 * 2 ** k, `wait ${k}: ${waits[k]}`);
  assert.ok(waits.every((ms) => ms <= 15_000));
  assert.ok(waits[8] >= 9000);
});

test("what another try does not mend is thrown", async () => {
  await assert.rejects(run([new Problem(410, "expired", "gone", "")]), (error) => error.code === "expired");
  await assert.rejects(run([() => answer(event(6)), new Problem(404, "not_found", "", "")], 5), (error) => error.code === "not_found");
});
