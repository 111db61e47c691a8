// The result of a job: the models in 3D, PAE, pLDDT and files.

import { file } from "../api/client.js";
import type { Job, Product, Ranked } from "../api/types.js";
import { fresh, h } from "../parts/dom.js";
import { problemView } from "../parts/problem-view.js";
import { seconds } from "../parts/text.js";
import { bandTable, sequenceView } from "./confidence.js";
import { downloads } from "./downloads.js";
import { paeView } from "./pae.js";
import { sceneView } from "./scene.js";
import { Selection } from "./selection.js";
import { paeOf, residuesOf } from "./structure.js";

export function resultView(job: Job, product: Product): { element: HTMLElement; stop: () => void } {
  const selection = new Selection(product.residues);
  const scene = sceneView(selection);
  const [pae, plddt, failed] = [h("div", {}), h("div", {}), h("div", {})];
  let stopMap = () => {};
  let loading = new AbortController();

  const show = async (model: Ranked) => {
    loading.abort();
    loading = new AbortController();
    const { signal } = loading;
    failed.replaceChildren();
    const stem = `rank_${String(model.rank).padStart(3, "0")}`;
    try {
      const pdb = await (await file(job.id, `${stem}.pdb`, signal)).text();
      const residues = residuesOf(pdb);
      plddt.replaceChildren(bandTable(residues, selection), sequenceView(residues, selection));
      const drawn = scene.show(pdb, residues);
      stopMap();
      if (!product.files.some(({ name }) => name === `${stem}.pae.json`)) {
        pae.replaceChildren(h("p", {}, `The model ${product.model} predicts no aligned error (PAE), so there is no map.`));
      } else {
        const view = paeView(paeOf(await (await file(job.id, `${stem}.pae.json`, signal)).json()), residues, selection);
        stopMap = view.stop;
        pae.replaceChildren(view.element);
      }
      await drawn;
    } catch (error) {
      if (!signal.aborted) failed.replaceChildren(problemView(error));
    }
  };

  const element = h(
    "div",
    { class: "result" },
    models(product, show),
    failed,
    h("section", { class: "card" }, h("h2", {}, "Structure"), scene.element),
    h("section", { class: "card" }, h("h2", {}, "Predicted aligned error (PAE)"), pae),
    h("section", { class: "card wide" }, h("h2", {}, "Confidence per residue (pLDDT)"), plddt),
    h("section", { class: "card wide" }, h("h2", {}, "Files"), downloads(job, product.files)),
  );
  return {
    element,
    stop() {
      loading.abort();
      stopMap();
      scene.stop();
    },
  };
}

/** The ranked models, one of which is shown. */
function models(product: Product, show: (model: Ranked) => void): HTMLElement {
  const group = fresh("model");
  const rows = product.ranking.map((model, at) => {
    const id = fresh("model");
    const choice = h("input", { type: "radio", name: group, id, checked: at === 0, onchange: () => show(model) });
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, product.ranking.length > 1 ? choice : null, h("label", { for: id }, `Rank ${model.rank}`)),
      h("td", { class: "number" }, model.mean_plddt.toFixed(1)),
      h("td", { class: "number" }, model.ptm == null ? "–" : model.ptm.toFixed(3)),
      h("td", { class: "number" }, model.seed),
      h("td", { class: "number" }, model.passes),
    );
  });
  if (product.ranking[0]) show(product.ranking[0]);
  return h(
    "section",
    { class: "card wide" },
    h("h2", {}, product.ranking.length > 1 ? "Models" : "Model"),
    h(
      "div",
      { class: "scroll" },
      h("table", { class: "models" }, h("thead", {}, h("tr", {}, ["Model", "Mean pLDDT", "pTM", "Seed", "Passes"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, rows)),
    ),
    h("p", { class: "soft" }, `${product.version} with ${product.model} on ${product.device}, ${seconds(product.seconds)}`),
  );
}
