// The colours of pLDDT, and that Mol* gets them.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { load } from "./source.mjs";

const { BANDS, colourOf, bandOf, rangeOf } = await load("viewer/colours.ts");

test("golden: the four bands", () => {
  assert.deepEqual(BANDS.map(({ name, from, colour }) => [name, from, colour]), [
    ["Very high", 90, "#0053D6"],
    ["Confident", 70, "#65CBF3"],
    ["Low", 50, "#FFDB13"],
    ["Very low", 0, "#FF7D45"],
  ]);
  const golden = [[100, "#0053D6"], [90, "#0053D6"], [89.99, "#65CBF3"], [70, "#65CBF3"], [69.99, "#FFDB13"], [50, "#FFDB13"], [49.99, "#FF7D45"], [0, "#FF7D45"]];
  for (const [plddt, colour] of golden) assert.equal(colourOf(plddt), colour, `pLDDT ${plddt}`);
  assert.deepEqual(BANDS.map(rangeOf), ["≥ 90", "70–90", "50–70", "< 50"]);
  assert.equal(bandOf(-1).short, "VL");
});

test("the style sheet has the same colours", () => {
  const css = readFileSync(`${import.meta.dirname}/../src/style.css`, "utf8");
  for (const { short, colour, ink } of BANDS) {
    const rule = new RegExp(`\\.plddt-${short} \\{ background: (#\\w+); color: (#\\w+); \\}`).exec(css);
    assert.ok(rule, `a rule of .plddt-${short}`);
    assert.equal(rule[1].toUpperCase(), colour);
    assert.equal(ink, { "#fff": "#FFFFFF", "#000": "#000000" }[rule[2]]);
  }
});

test("Mol*'s theme gives an atom the colour of its B-factor", async () => {
  const { PlddtTheme } = await load("viewer/theme.ts");
  const { StructureElement, Structure } = await import("molstar/lib/mol-model/structure.js");
  const { parsePDB } = await import("molstar/lib/mol-io/reader/pdb/parser.js");
  const { trajectoryFromPDB } = await import("molstar/lib/mol-model-formats/structure/pdb.js");
  const pdb = gunzipSync(readFileSync(`${import.meta.dirname}/../../../tests/service/page/fixture/rank_001.pdb.gz`)).toString();
  // Residue n gets n + 20: all bands, and values on their edges.
  const lines = pdb.split("\n").map((line) => (line.startsWith("ATOM") ? line.slice(0, 60) + (Number(line.slice(22, 26)) + 20).toFixed(2).padStart(6) + line.slice(66) : line));
  const trajectory = await trajectoryFromPDB((await parsePDB(lines.join("\n")).run()).result).run();
  const structure = Structure.ofModel(await trajectory.getFrameAtIndex(0));
  const theme = PlddtTheme.factory({ structure }, {});
  assert.equal(theme.granularity, "group");
  assert.equal(theme.preferSmoothing, false);
  const found = new Set();
  for (const unit of structure.units) {
    for (const element of unit.elements) {
      const number = unit.model.atomicHierarchy.residues.auth_seq_id.value(unit.model.atomicHierarchy.residueAtomSegments.index[element]);
      const colour = theme.color(StructureElement.Location.create(structure, unit, element), false);
      assert.equal(`#${colour.toString(16).padStart(6, "0").toUpperCase()}`, colourOf(number + 20), `residue ${number}`);
      found.add(colour);
    }
  }
  assert.equal(found.size, 4);
});
