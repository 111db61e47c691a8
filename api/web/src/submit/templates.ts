// Structures offered as templates.

import type { NewTemplate } from "../api/types.js";
import { fresh, h } from "../parts/dom.js";
import { template } from "./read.js";

export interface TemplateFields {
  element: HTMLElement;
  read(): NewTemplate[];
  /** The element that `/templates/1/chain` means. */
  field(pointer: string): HTMLElement | null;
}

export function templateFields(): TemplateFields {
  const [id, note] = [fresh("templates"), fresh("templates-note")];
  const input = h("input", { id, type: "file", multiple: true, accept: ".pdb,.ent,.cif,.mmcif,.gz", "aria-describedby": note });
  const list = h("ul", { class: "given" });
  const failed = h("p", { class: "wrong", role: "alert" });
  let given: { template: NewTemplate; chain: HTMLInputElement; row: HTMLElement }[] = [];
  input.addEventListener("change", async () => {
    failed.textContent = "";
    for (const file of [...(input.files ?? [])]) {
      try {
        add(await template(file));
      } catch (error) {
        failed.textContent = `${file.name}: ${error instanceof Error ? error.message : String(error)}`;
      }
    }
    input.value = "";
  });
  const add = (one: NewTemplate) => {
    const chainId = fresh("chain");
    const chain = h("input", { id: chainId, type: "text", size: 4, maxlength: 4, pattern: "[A-Za-z0-9]{1,4}", placeholder: "best", autocomplete: "off" });
    const remove = h("button", { type: "button", "aria-label": `Remove ${one.name}` }, "Remove");
    const row = h("li", { tabindex: -1 }, h("span", { class: "name" }, one.name), h("label", { for: chainId }, "Chain"), chain, remove);
    const entry = { template: one, chain, row };
    remove.addEventListener("click", () => {
      given = given.filter((other) => other !== entry);
      row.remove();
      input.focus();
    });
    given.push(entry);
    list.append(row);
  };
  return {
    element: h("div", { class: "field" }, h("label", { for: id }, "Template structures"), input, h("small", { id: note }, "PDB or mmCIF, also .gz; without a chain the most similar one is taken"), failed, list),
    read: () => given.map(({ template, chain }) => ({ ...template, chain: chain.value || null })),
    field(pointer) {
      const match = /^\/templates(?:\/(\d+)(\/chain)?)?/.exec(pointer);
      if (!match) return null;
      const entry = match[1] === undefined ? undefined : given[Number(match[1])];
      return entry ? (match[2] ? entry.chain : entry.row) : input;
    },
  };
}
