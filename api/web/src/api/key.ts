// The API key: kept for this tab only, asked for when the server wants one.

import { h, fresh } from "../parts/dom.js";

const PLACE = "foldry.key";
let memory: string | null = null;
let asking: Promise<string | null> | null = null;
const listeners = new Set<() => void>();

export function key(): string | null {
  try {
    return sessionStorage.getItem(PLACE) ?? memory;
  } catch {
    // Storage is forbidden: the key lasts as long as the page.
    return memory;
  }
}

export function setKey(value: string | null): void {
  memory = value;
  try {
    if (value === null) sessionStorage.removeItem(PLACE);
    else sessionStorage.setItem(PLACE, value);
  } catch {
    // As above.
  }
  for (const listener of listeners) listener();
}

export function onKey(listener: () => void): void {
  listeners.add(listener);
}

/** Asks once, however many requests wait for it; null if the reader gives none. */
export function askForKey(why: string): Promise<string | null> {
  asking ??= ask(why).finally(() => (asking = null));
  return asking;
}

function ask(why: string): Promise<string | null> {
  const [id, note, title] = [fresh("key"), fresh("key-why"), fresh("key-title")];
  const field = h("input", { id, type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": note });
  const form = h(
    "form",
    {},
    h("h2", { id: title }, "API key"),
    h("p", { id: note }, `This server wants an API key: ${why}. It is kept for this tab only and sent to this server only.`),
    h("label", { for: id }, "Key"),
    field,
    h("p", { class: "buttons" }, h("button", { type: "submit", class: "main" }, "Use key"), h("button", { type: "button", onclick: () => dialog.close() }, "Not now")),
  );
  const dialog = h("dialog", { "aria-labelledby": title }, form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    let given: string | null = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      given = field.value.trim() || null;
      if (given !== null) setKey(given);
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(given);
    });
    dialog.showModal();
  });
}
