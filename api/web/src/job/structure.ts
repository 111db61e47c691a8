// Residues and their pLDDT, read from the PDB file: the page needs no larger file for them.

export interface Residue {
  number: number;
  /** One letter. */
  letter: string;
  plddt: number;
}

const LETTERS: Record<string, string> = {
  ALA: "A", ARG: "R", ASN: "N", ASP: "D", CYS: "C", GLN: "Q", GLU: "E", GLY: "G", HIS: "H", ILE: "I",
  LEU: "L", LYS: "K", MET: "M", PHE: "F", PRO: "P", SER: "S", THR: "T", TRP: "W", TYR: "Y", VAL: "V",
};

/** One for each Cα. */
export function residuesOf(pdb: string): Residue[] {
  const list: Residue[] = [];
  for (const line of pdb.split("\n")) {
    if (!line.startsWith("ATOM") || line.slice(12, 16) !== " CA ") continue;
    const [number, plddt] = [Number(line.slice(22, 26)), Number(line.slice(60, 66))];
    if (Number.isNaN(number) || Number.isNaN(plddt)) continue;
    list.push({ number, letter: LETTERS[line.slice(17, 20)] ?? "X", plddt });
  }
  return list;
}

export interface Pae {
  size: number;
  /** Row by row: aligned residue, then scored residue. Å. */
  values: Float32Array;
  most: number;
}

/** AlphaFold DB's file, or an error that says what is wrong with it. */
export function paeOf(json: unknown): Pae {
  const one: unknown = Array.isArray(json) ? json[0] : json;
  const rows = (one as Record<string, unknown> | undefined)?.["predicted_aligned_error"];
  if (!Array.isArray(rows)) throw new Error("PAE: expected `predicted_aligned_error`, found none");
  const size = rows.length;
  const values = new Float32Array(size * size);
  rows.forEach((row: unknown, i) => {
    if (!Array.isArray(row) || row.length !== size) throw new Error(`PAE: row ${i + 1}: expected ${size} values, found ${Array.isArray(row) ? row.length : "none"}`);
    values.set(row as number[], i * size);
  });
  const most = (one as Record<string, unknown>)["max_predicted_aligned_error"];
  return { size, values, most: typeof most === "number" && most > 0 ? most : values.reduce((a, b) => Math.max(a, b), 1) };
}

/** Mean over a rectangle, Å. */
export function meanPae(pae: Pae, aligned: { from: number; to: number }, scored: { from: number; to: number }): number {
  let [sum, count] = [0, 0];
  for (let i = aligned.from; i <= aligned.to; i++) {
    for (let j = scored.from; j <= scored.to; j++) {
      sum += pae.values[(i - 1) * pae.size + j - 1] ?? 0;
      count++;
    }
  }
  return sum / count;
}
