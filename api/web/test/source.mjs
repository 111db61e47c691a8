// The page's modules, as they are, for Node's test runner: Vite turns the TypeScript into JavaScript.

import { after } from "node:test";
import { createServer } from "vite";

const vite = await createServer({ root: `${import.meta.dirname}/..`, configFile: false, logLevel: "error", server: { middlewareMode: true, watch: null }, appType: "custom", optimizeDeps: { noDiscovery: true } });
after(() => vite.close());

export const load = (path) => vite.ssrLoadModule(`/src/${path}`);
