"""Alignments as AlphaFold's own parsers read them: tests/golden/msa/parsed.tsv.

Run in a virtual environment with alphafold-colabfold==2.3.27. For every alignment: rows, columns and
64-bit FNV-1a hashes of the aligned letters, of the deletion matrix (little-endian u32) and of the
descriptions (each followed by a newline). Also writes small.sto, a Stockholm file in two blocks.
"""

import pathlib
import random
import struct

from alphafold.data import parsers

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/golden/msa"


def fnv(data: bytes) -> str:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def line(path: pathlib.Path) -> str:
    parse = parsers.parse_a3m if path.suffix == ".a3m" else parsers.parse_stockholm
    msa = parse(path.read_text())
    counts = [int(n) for row in msa.deletion_matrix for n in row]
    hashes = [
        fnv("".join(msa.sequences).encode()),
        fnv(struct.pack(f"<{len(counts)}I", *counts)),
        fnv("".join(d + "\n" for d in msa.descriptions).encode()),
    ]
    fields = [path.relative_to(ROOT), len(msa.sequences), len(msa.sequences[0]), *hashes]
    return "\t".join(map(str, fields))


def small_stockholm() -> str:
    rng = random.Random(3)
    rows = {f"s{i}/1-{90 + i}": "".join(rng.choice("ACDEFGHIKLMNPQRSTVWYUX---") for _ in range(97)) for i in range(13)}
    blocks = [[f"{name:14}{row[a:b]}" for name, row in rows.items()] for a, b in [(0, 60), (60, 97)]]
    return "# STOCKHOLM 1.0\n\n" + "\n#=GC RF x\n\n".join("\n".join(b) for b in blocks) + "\n//\n"


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    (OUT / "small.sto").write_text(small_stockholm())
    files = [*sorted((ROOT / "data/examples").glob("*.a3m")), OUT / "small.sto"]
    (OUT / "parsed.tsv").write_text("".join(line(f) + "\n" for f in files))
