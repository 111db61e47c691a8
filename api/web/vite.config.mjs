// The build: fixed names, no maps, nothing inline (the policy forbids it), and the licences of what is built in.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { defineConfig } from "vite";

/** Packages that lie in the bundle, with the text of their licences. */
function licences() {
  const packages = new Map();
  const find = (id) => {
    const file = id.replace(/^\0/, "").split("?")[0];
    if (!file.includes("/node_modules/")) return;
    let folder = dirname(file);
    // Some packages have a package.json without a name in a folder below.
    while (!existsSync(join(folder, "package.json")) || !JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).version) folder = dirname(folder);
    if (packages.has(folder)) return;
    const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const name = readdirSync(folder).sort().find((entry) => /^(licen[cs]e|copying)/i.test(entry));
    if (!name) throw new Error(`${about.name}: expected a file with its licence, found none`);
    packages.set(folder, `${about.name} ${about.version} (${about.license})\n\n${readFileSync(join(folder, name), "utf8").trim()}\n`);
  };
  return {
    name: "licences",
    generateBundle(_, bundle) {
      for (const chunk of Object.values(bundle)) if (chunk.type === "chunk") for (const [id, { renderedLength }] of Object.entries(chunk.modules)) if (renderedLength) find(id);
      const texts = [...packages.values()].sort();
      this.emitFile({ type: "asset", fileName: "assets/licences.txt", source: `This page contains parts of the packages below.\n\n${texts.join("\n\n")}` });
    },
  };
}

export default defineConfig({
  plugins: [licences()],
  build: {
    outDir: "build",
    target: "es2022",
    modulePreload: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 3000,
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        entryFileNames: "assets/app.js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/app[extname]",
      },
    },
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8080", "/openapi.json": "http://127.0.0.1:8080" } },
});
