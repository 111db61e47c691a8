"""Expected scores of noisy and of wrong models, for crates/geometry/tests/scores.rs.

Pinned: biotite 1.6.0, numpy 2.4.6, Debian tm-align 20190822+dfsg-2 (`TMalign` on PATH).
Run from the repository root:  python tests/golden/scores.py > tests/golden/scores.tsv
"""
import itertools
import pathlib
import re
import subprocess
import tempfile

import biotite.structure as struc
import biotite.structure.io.pdb as pdb

EXAMPLES = ["1jos_A", "2ayd_A", "4mo0_A", "5pal_A"]


def noise(seed):
    """Sums of 12 uniform numbers from a 32-bit generator: nearly Gaussian, the same in any language."""
    state = seed
    while True:
        total = 0.0
        for _ in range(12):
            state = (state * 1664525 + 1013904223) % 2**32
            total += state / 2**32
        yield total - 6.0


def read(path):
    return pdb.PDBFile.read(path).get_structure(model=1)


def tm(model, reference):
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, atoms in [("m", model), ("r", reference)]:
            paths.append(f"{folder}/{name}.pdb")
            file = pdb.PDBFile()
            file.set_structure(atoms)
            file.write(paths[-1])
        text = subprocess.run(["TMalign", *paths], capture_output=True, text=True, check=True).stdout
    return re.findall(r"TM-score= *([0-9.]+)", text)[1]


print("model\treference\tsigma\ttm_score\tlddt\tlddt_ca")
chains = {n: read(pathlib.Path("data/examples") / f"{n}.ref.pdb") for n in EXAMPLES}
for k, (name, atoms) in enumerate(chains.items()):
    for sigma in [0, 0.5, 1, 2, 3, 4, 6, 8]:
        model, draw = atoms.copy(), noise(1000 * k + int(10 * sigma))
        for i, j in itertools.product(range(len(atoms)), range(3)):
            model.coord[i, j] = round(float(atoms.coord[i, j]) + sigma * next(draw), 3)
        ca = atoms.atom_name == "CA"
        whole, trace = struc.lddt(atoms, model), struc.lddt(atoms[ca], model[ca])
        print(f"{name}\t{name}\t{sigma}\t{tm(model, atoms)}\t{whole:.5f}\t{trace:.5f}")
for a, b in itertools.permutations(chains, 2):
    print(f"{a}\t{b}\t0\t{tm(chains[a], chains[b])}\t-\t-")
