"""A client of the ESM Atlas' folding route, as people write them: the sequence as the body, a PDB file back. SERVER"""

import sys
import urllib.error
import urllib.request


def post(url, body):
    with urllib.request.urlopen(urllib.request.Request(url, body.encode()), timeout=300) as response:
        return response.read().decode()


def main():
    url = f"{sys.argv[1]}/foldSequence/v1/pdb/"
    sequence = "MKVLAAGIVGLLLAQPSWAEQKIKIYVTKRRFGK"
    pdb = post(url, sequence)
    residues = {line[22:27] for line in pdb.splitlines() if line.startswith("ATOM")}
    assert len(residues) == len(sequence), len(residues)
    try:
        post(url, "M" * 5000)
        raise SystemExit("expected 413 for a sequence that is too long")
    except urllib.error.HTTPError as error:
        assert error.code == 413, error.code
    print(f"esmfold: {len(residues)} residues")


main()
