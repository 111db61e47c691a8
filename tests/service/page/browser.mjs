// A fresh browser whose pages are watched: every address that is asked for, and every breach of the policy.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const QUIET = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps", "--metrics-recording-only"];
const SOFTWARE_GL = ["--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"];
const NO_GL = ["--disable-gpu", "--disable-3d-apis", "--disable-software-rasterizer"];

export async function open({ webgl = true, ...context } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "foldry-page-"));
  const browser = await chromium.launchPersistentContext(folder, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: [...QUIET, ...(webgl ? SOFTWARE_GL : NO_GL)],
    viewport: { width: 1200, height: 900 },
    acceptDownloads: true,
    ...context,
  });
  const asked = [];
  const breaches = [];
  const errors = [];
  browser.on("request", (request) => asked.push(request.url()));
  await browser.exposeFunction("reportBreach", (text) => breaches.push(text));
  await browser.addInitScript(() => document.addEventListener("securitypolicyviolation", (event) => window.reportBreach(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`)));
  const page = browser.pages()[0] ?? (await browser.newPage());
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (/Content Security Policy/i.test(message.text())) breaches.push(message.text());
  });
  page.setDefaultTimeout(30_000);
  const close = async () => {
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { browser, page, asked, breaches, errors, close };
}

/** What no page may do. */
export function outside(asked, base) {
  return asked.filter((url) => !url.startsWith(`${base}/`) && !url.startsWith(`blob:${base}/`) && !url.startsWith("data:") && url !== "about:blank");
}
