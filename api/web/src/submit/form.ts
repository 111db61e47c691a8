// Handing in jobs: pasted text and dropped files, options, templates, and what the server says is wrong with them.

import { engine, readInput, submit, submitAll } from "../api/client.js";
import { Problem } from "../api/problem.js";
import type { Engine, Job, NewJob } from "../api/types.js";
import { fresh, h } from "../parts/dom.js";
import { problemView } from "../parts/problem-view.js";
import { bytes, count, randomKey } from "../parts/text.js";
import { optionFields } from "./options.js";
import { pasted, withForm } from "./read.js";
import { review } from "./review.js";
import { templateFields } from "./templates.js";

// data/examples/4mo0_A.a3m, without its alignment.
const EXAMPLE = "EQKIKIYVTKRRFGKLMTIIEGFDTSVIDLKELAKKLKDICACGGTVKDNTIELQGDHRKKVAEELVKMGFSRDSIEIR";

export function submitView(open: (jobs: Job[]) => void): { element: HTMLElement; stop(): void } {
  const [textId, textNote, nameId, filesId, filesNote] = [fresh("text"), fresh("text-note"), fresh("name"), fresh("files"), fresh("files-note")];
  const text = h("textarea", { id: textId, rows: 6, spellcheck: "false", autocomplete: "off", autocapitalize: "characters", "aria-describedby": textNote, placeholder: "MKVL…" });
  const name = h("input", { id: nameId, type: "text", maxlength: 200, autocomplete: "off" });
  const files = h("input", { id: filesId, type: "file", multiple: true, "aria-describedby": filesNote });
  const limits = h("small", { id: textNote });
  const drop = h("div", { class: "drop" }, h("label", { for: filesId }, "Or files"), files, h("small", { id: filesNote }, "FASTA, A3M, Stockholm or job files, also .gz and .zst; drop them here"));
  const options = optionFields();
  const templates = templateFields();
  const button = h("button", { type: "submit", class: "main" }, "Fold");
  const failed = h("div", {});
  const busy = h("p", { class: "soft", role: "status" });
  const read = review(() => {
    const many = read.jobs().length;
    button.textContent = many > 1 ? `Fold ${many} jobs` : "Fold";
    name.disabled = many > 1;
  });
  const optionsBox = h("details", {}, h("summary", {}, "Options"), options.element);
  const templatesBox = h("details", {}, h("summary", {}, "Templates"), templates.element);
  const form = h(
    "form",
    {},
    h("div", { class: "field" }, h("label", { for: textId }, "Sequence, FASTA or A3M"), text, limits, h("button", { type: "button", class: "link", onclick: () => (text.value = EXAMPLE) }, "Use an example")),
    drop,
    read.element,
    h("div", { class: "field" }, h("label", { for: nameId }, "Name (optional)"), name),
    optionsBox,
    templatesBox,
    failed,
    h("p", { class: "buttons" }, button, busy),
  );

  let known: Engine | null = null;
  let stopped = false;
  const ask = async () => {
    try {
      known = await engine();
      options.engine(known);
      limits.textContent = `${known.version} on ${known.device}; up to ${count(known.limits.residues, "residue")}, alignments of up to ${count(known.limits.rows, "row")}`;
    } catch (error) {
      const problem = Problem.of(error);
      limits.textContent = problem.message;
      if (problem.passing && !stopped) setTimeout(() => stopped || void ask(), 1000 * (problem.retryAfter ?? 5));
    }
  };
  void ask();

  /** Shows what is wrong where it is wrong. */
  const blame = (error: unknown, fromText: number) => {
    failed.replaceChildren(problemView(error));
    const pointer = Problem.of(error).pointer ?? "";
    const job = /^\/jobs\/(\d+)/.exec(pointer);
    const rest = job ? pointer.slice(job[0].length) : pointer;
    const index = job ? Number(job[1]) : 0;
    const field = /^\/options\//.test(rest) ? options.field(rest) : rest.startsWith("/templates") ? templates.field(rest) : rest === "/name" && !job ? name : /^\/(sequence|alignment)/.test(rest) || job ? (index < fromText ? text : read.row(index - fromText)) : null;
    if (!field) return;
    if (optionsBox.contains(field)) optionsBox.open = true;
    if (templatesBox.contains(field)) templatesBox.open = true;
    field.setAttribute("aria-invalid", "true");
    field.focus();
    const place = field === text ? /^sequence:(\d+):/.exec(Problem.of(error).detail) : null;
    // The very letter, if the text is the sequence itself.
    if (place && !text.value.includes(">")) select(text, Number(place[1]));
  };
  const innocent = () => {
    failed.replaceChildren();
    for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  };
  const readFiles = async (list: readonly File[]) => {
    innocent();
    for (const file of list) {
      busy.textContent = `Reading ${file.name} …`;
      try {
        if (known && file.size > known.limits.body_bytes) throw new Problem(413, "body_too_large", "The file is too large", `${file.name}: expected at most ${bytes(known.limits.body_bytes)}, found ${bytes(file.size)}`);
        const found = await readInput(file.name, file);
        read.add(file.name, found.jobs, found.notes ?? []);
        busy.textContent = `Read ${file.name}: ${count(found.jobs.length, "job")}`;
      } catch (error) {
        busy.textContent = "";
        failed.replaceChildren(problemView(error));
        files.setAttribute("aria-invalid", "true");
        break;
      }
    }
  };
  files.addEventListener("change", async () => {
    const list = [...(files.files ?? [])];
    files.value = "";
    await readFiles(list);
  });
  // What the browser finds wrong must be seen, too.
  form.addEventListener("invalid", (event) => (event.target as Element).closest("details")?.setAttribute("open", ""), true);
  // Anywhere on the form: a file that misses the field must not replace the page.
  form.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  form.addEventListener("dragleave", () => drop.classList.remove("over"));
  form.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    const list = [...(event.dataTransfer?.files ?? [])];
    if (!list.length) return;
    event.preventDefault();
    void readFiles(list);
  });

  let once = randomKey();
  let sent = "";
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    innocent();
    if (!text.value.trim() && !read.jobs().length) {
      failed.replaceChildren(problemView(new Problem(422, "nothing", "There is nothing to fold", "expected a sequence, an alignment or a file, found none")));
      text.setAttribute("aria-invalid", "true");
      text.focus();
      return;
    }
    button.disabled = true;
    let fromText = 0;
    try {
      let jobs: NewJob[] = read.jobs();
      if (text.value.trim()) {
        const found = await pasted(text.value);
        // Several chains, or a changed input, are shown before they are handed in.
        if (found.jobs.length > 1 || found.notes?.length) {
          read.add("pasted text", found.jobs, found.notes ?? []);
          text.value = "";
          busy.textContent = "Look at what was read, then fold it";
          return;
        }
        fromText = found.jobs.length;
        jobs = [...found.jobs, ...jobs];
      }
      const bodies = jobs.map((job) => withForm(job, options.read(), templates.read(), jobs.length === 1 ? name.value.trim() : ""));
      // A second try of the same is the same submission; anything else is a new one.
      const key = JSON.stringify(bodies);
      if (sent && key !== sent) once = randomKey();
      sent = key;
      busy.textContent = "Handing in …";
      const accepted = bodies.length === 1 ? [await submit(bodies[0]!, once)] : (await submitAll(bodies, once)).jobs;
      once = randomKey();
      sent = "";
      text.value = "";
      read.clear();
      busy.textContent = `Accepted ${count(accepted.length, "job")}`;
      open(accepted);
    } catch (error) {
      busy.textContent = "";
      blame(error, fromText);
    } finally {
      button.disabled = false;
    }
  });
  return {
    element: h("section", { class: "card", "aria-labelledby": "fold-title" }, h("h2", { id: "fold-title" }, "Fold a sequence"), form),
    stop: () => void (stopped = true),
  };
}

/** Selects letter number `column` of the sequence; white space in the text does not count. */
function select(text: HTMLTextAreaElement, column: number): void {
  let seen = 0;
  for (let i = 0; i < text.value.length; i++) {
    if (/\s/.test(text.value[i]!)) continue;
    if (++seen === column) return text.setSelectionRange(i, i + 1);
  }
}
