// How to fold: fields that say nothing while they are empty, so that a job file's own options stay.

import type { Engine, Options } from "../api/types.js";
import { fresh, h } from "../parts/dom.js";

export interface OptionFields {
  element: HTMLElement;
  /** What was filled in. */
  read(): Partial<Options>;
  engine(engine: Engine): void;
  /** The field a JSON pointer such as `/options/seed` means. */
  field(pointer: string): HTMLInputElement | HTMLSelectElement | null;
}

export function optionFields(): OptionFields {
  const number = (label: string, min: number, hint: string) => {
    const [id, note] = [fresh("option"), fresh("option-note")];
    const input = h("input", { id, type: "number", min, step: 1, inputmode: "numeric", "aria-describedby": note });
    return { input, element: h("div", { class: "field" }, h("label", { for: id }, label), input, h("small", { id: note }, hint)) };
  };
  const [id, about] = [fresh("option"), fresh("option-note")];
  const note = h("small", { id: about });
  const model = h("select", { id, "aria-describedby": about }, h("option", { value: "" }, "Automatic"));
  const recycles = number("Recycles", 0, "empty: what the model has");
  const seed = number("Seed", 0, "empty: 0");
  const seeds = number("Number of seeds", 1, "empty: 1; one model each");
  const clustered = number("Max MSA, clustered", 1, "empty: what the model has");
  const extra = number("Max MSA, extra", 0, "empty: what the model has");
  // Two numbers or none: half of the option means nothing.
  const both = () => {
    clustered.input.required = extra.input.value !== "";
    extra.input.required = clustered.input.value !== "";
  };
  clustered.input.addEventListener("input", both);
  extra.input.addEventListener("input", both);
  const names = new Map<string, string>();
  model.addEventListener("change", () => (note.textContent = names.get(model.value) ?? ""));
  const fields: Record<string, HTMLInputElement | HTMLSelectElement> = {
    model,
    recycles: recycles.input,
    seed: seed.input,
    num_seeds: seeds.input,
    max_msa: clustered.input,
    "max_msa/0": clustered.input,
    "max_msa/1": extra.input,
  };
  return {
    element: h("div", { class: "fields" }, h("div", { class: "field" }, h("label", { for: id }, "Model"), model, note), recycles.element, seed.element, seeds.element, clustered.element, extra.element),
    read() {
      const filled = (input: HTMLInputElement) => (input.value === "" ? undefined : input.valueAsNumber);
      const [c, e] = [filled(clustered.input), filled(extra.input)];
      const all: Partial<Options> = {};
      if (model.value) all.model = model.value;
      const put = (name: "recycles" | "seed" | "num_seeds", value: number | undefined) => {
        if (value !== undefined) all[name] = value;
      };
      put("recycles", filled(recycles.input));
      put("seed", filled(seed.input));
      put("num_seeds", filled(seeds.input));
      if (c !== undefined && e !== undefined) all.max_msa = [c, e];
      return all;
    },
    engine(engine) {
      const first = engine.models[0];
      model.replaceChildren(
        h("option", { value: "" }, first ? `Automatic (${first.name})` : "Automatic"),
        ...engine.models.map((one) => h("option", { value: one.name }, one.name)),
      );
      if (first) names.set("", first.about);
      for (const one of engine.models) names.set(one.name, one.about);
      note.textContent = names.get("") ?? "";
      recycles.input.max = String(engine.limits.recycles);
      seeds.input.max = String(engine.limits.num_seeds);
    },
    field: (pointer) => fields[pointer.replace(/^\/options\//, "")] ?? null,
  };
}
