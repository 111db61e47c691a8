// Packs build/ into dist/: each file gzip'ed, and files.json, which says how each is served.
// `node pack.mjs --check` compares instead, and ends with 1 if dist is not what the source makes. Contents are compared,
// not compressed bytes, since those depend on the version of zlib.

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { extname, join, relative } from "node:path";
import { constants, gunzipSync, gzipSync } from "node:zlib";

const here = import.meta.dirname;
const [build, dist] = [join(here, "build"), join(here, "dist")];
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8" };

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const built = readdirSync(build, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(build, join(entry.parentPath, entry.name)))
  .sort();
const files = built.map((path) => {
  const type = TYPES[extname(path)];
  if (!type) throw new Error(`${path}: expected one of ${Object.keys(TYPES).join(" ")}, found another ending`);
  const bytes = readFileSync(join(build, path));
  return { path: `/${path}`, file: `${path.split("/").pop()}.gz`, type, bytes: bytes.length, sha256: sha256(bytes), content: bytes };
});
const list = JSON.stringify(files.map(({ content, ...rest }) => rest), null, 1) + "\n";

if (process.argv.includes("--check")) {
  let wrong = 0;
  const say = (text) => (wrong++, console.error(`api/web/dist: ${text}`));
  if (readFileSync(join(dist, "files.json"), "utf8") !== list) say("files.json differs from what the source makes");
  for (const { file, content } of files) {
    let found;
    try {
      found = gunzipSync(readFileSync(join(dist, file)));
    } catch (error) {
      say(`${file}: ${error.message}`);
      continue;
    }
    if (!found.equals(content)) say(`${file}: differs from what the source makes`);
  }
  const known = new Set([...files.map(({ file }) => file), "files.json"]);
  for (const name of readdirSync(dist)) if (!known.has(name)) say(`${name}: the source makes no such file`);
  if (wrong) process.exit(1);
  console.log(`api/web/dist is what the source makes: ${files.length} files`);
} else {
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(dist);
  let total = 0;
  for (const { file, content } of files) {
    const packed = gzipSync(content, { level: 9, memLevel: 9, strategy: constants.Z_DEFAULT_STRATEGY });
    // No time, and "unknown" for the system: the same bytes everywhere.
    packed[9] = 255;
    writeFileSync(join(dist, file), packed);
    total += packed.length;
    console.log(`${file}: ${content.length} bytes, ${packed.length} packed`);
  }
  writeFileSync(join(dist, "files.json"), list);
  console.log(`${total} bytes in all`);
}
