"""A client of NIM OpenFold2, as its documentation shows one: nothing in it knows Foldry. SERVER ALIGNMENT"""

import json
import sys
import urllib.request
from pathlib import Path


def main():
    server, alignment = sys.argv[1], Path(sys.argv[2]).read_text()
    with urllib.request.urlopen(f"{server}/v1/health/ready") as ready:
        assert ready.status == 200
    sequence = alignment.split("\n")[1]
    body = {
        "sequence": sequence,
        "input_id": "4mo0_A",
        "selected_models": [1],
        "relax_prediction": False,
        "alignments": {"uniref90": {"a3m": {"alignment": alignment, "format": "a3m"}}},
    }
    url = f"{server}/biology/openfold/openfold2/predict-structure-from-msa-and-template"
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as response:
        answer = json.load(response)
    best = answer["structures_in_ranked_order"][0]
    assert answer["of2_nim_handled_error_message"] == "no-handled-error", answer
    assert answer["input_id"] == "4mo0_A"
    assert best["format"] == "pdb" and "ATOM" in best["structure"]
    assert len(best["plddt"]) == len(sequence) and 0 < best["confidence"] <= 100
    print(f"nim: {len(sequence)} residues, confidence {best['confidence']:.1f}")


main()
