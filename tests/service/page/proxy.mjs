// A proxy before the service that can cut event streams, so that the same test runs against the mock and the real server.

import { createServer, request as ask } from "node:http";

/** `cut` is the number of events after which the next streams are broken off, one number a stream. */
export async function start(base) {
  const target = new URL(base);
  const seen = [];
  const cut = [];
  const server = createServer((incoming, outgoing) => {
    const streams = incoming.url.endsWith("/events");
    const record = { method: incoming.method, path: incoming.url, lastEventId: incoming.headers["last-event-id"] ?? null, authorization: incoming.headers.authorization ?? null, ids: [] };
    seen.push(record);
    let left = streams && cut.length ? cut.shift() : Infinity;
    const onward = ask({ host: target.hostname, port: target.port, method: incoming.method, path: incoming.url, headers: { ...incoming.headers, host: target.host } }, (answer) => {
      record.status = answer.statusCode;
      outgoing.writeHead(answer.statusCode, answer.headers);
      if (!streams) return void answer.pipe(outgoing);
      let rest = "";
      answer.setEncoding("utf8");
      answer.on("data", (text) => {
        const blocks = (rest + text).split("\n\n");
        rest = blocks.pop();
        for (const block of blocks) {
          const id = /^id: (\d+)$/m.exec(block)?.[1];
          if (id && left-- <= 0) {
            onward.destroy();
            // Not an orderly end: what a lost network looks like. What was sent before arrives before.
            return void setTimeout(() => outgoing.socket?.destroy(), 100);
          }
          if (id) record.ids.push(Number(id));
          outgoing.write(`${block}\n\n`);
        }
      });
      answer.on("end", () => outgoing.end(rest));
      answer.on("error", () => left >= 0 && outgoing.destroy());
    });
    onward.on("error", () => left >= 0 && outgoing.destroy());
    outgoing.on("close", () => onward.destroy());
    incoming.pipe(onward);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { base: `http://127.0.0.1:${server.address().port}`, seen, cut, stop: () => (server.closeAllConnections(), server.close()) };
}
