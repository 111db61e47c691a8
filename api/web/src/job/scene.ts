// The 3D view's place in the page: loads Mol* when it is needed, and says so where it cannot run.

import { h } from "../parts/dom.js";
import type { Viewer } from "../viewer/viewer.js";
import { legend } from "./confidence.js";
import type { Selection } from "./selection.js";
import type { Residue } from "./structure.js";
import { bandOf } from "../viewer/colours.js";

export interface Scene {
  element: HTMLElement;
  show(pdb: string, residues: Residue[]): Promise<void>;
  stop(): void;
}

export function hasWebGl(): boolean {
  try {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("webgl2") ?? canvas.getContext("webgl");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return context !== null;
  } catch {
    return false;
  }
}

export function sceneView(selection: Selection): Scene {
  const canvas = h("canvas", { class: "view", tabindex: 0, role: "img", "aria-label": "Predicted structure, coloured by confidence. Arrow keys turn it, plus and minus zoom, 0 shows all." });
  const tip = h("output", { class: "tip" });
  const stage = h("div", { class: "stage" }, canvas, tip);
  const how = h("span", { class: "soft" }, "Drag turns, wheel zooms, click selects");
  const box = h("div", { class: "scene" }, stage, h("div", { class: "under" }, legend(), how));
  let viewer: Viewer | null = null;
  let loading: Promise<Viewer | null> | null = null;
  let shown: Residue[] = [];
  let stopped = false;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const background = () => viewer?.background(dark.matches ? 0x1a2029 : 0xffffff);
  dark.addEventListener("change", background);

  const without = (why: string) => {
    stage.replaceChildren(h("p", { class: "no-view", role: "note" }, `No 3D view: ${why}. Everything else on this page works, and the structure can be downloaded below.`));
    stage.classList.add("empty");
    how.hidden = true;
    return null;
  };
  const load = async (): Promise<Viewer | null> => {
    if (!hasWebGl()) return without("this browser offers no WebGL");
    try {
      tip.textContent = "Loading the 3D view …";
      const { createViewer } = await import("../viewer/viewer.js");
      if (stopped) return null;
      viewer = createViewer(canvas, stage);
    } catch (error) {
      return without(error instanceof Error ? error.message : String(error));
    }
    background();
    viewer.onPoint((residue) => {
      selection.point(residue);
      const one = residue === null ? undefined : shown.find((candidate) => candidate.number === residue);
      tip.textContent = one ? `${one.letter}${one.number} · pLDDT ${one.plddt.toFixed(1)} · ${bandOf(one.plddt).name.toLowerCase()}` : "";
    });
    viewer.onPick((residue) => selection.pick(residue));
    selection.onChange(() => {
      viewer?.select(selection.spans());
      viewer?.point(selection.pointed);
    });
    return viewer;
  };
  canvas.addEventListener("keydown", (event) => {
    if (!viewer) return;
    const turn = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
    if (turn) viewer.turn(turn[0]!, turn[1]!);
    else if (event.key === "+" || event.key === "=") viewer.zoom(1.1);
    else if (event.key === "-") viewer.zoom(1 / 1.1);
    else if (event.key === "0") viewer.reset();
    else return;
    event.preventDefault();
  });

  return {
    element: box,
    async show(pdb, residues) {
      shown = residues;
      const ready = await (loading ??= load());
      if (!ready || stopped) return;
      tip.textContent = "";
      try {
        await ready.show(pdb);
        ready.select(selection.spans());
        stage.dataset["ready"] = "true";
      } catch (error) {
        without(error instanceof Error ? error.message : String(error));
      }
    },
    stop() {
      stopped = true;
      dark.removeEventListener("change", background);
      viewer?.dispose();
      viewer = null;
    },
  };
}
