"""Folds the example through the client that openapi-python-client made from the served description. SERVER ALIGNMENT"""

import sys
from pathlib import Path

from client import Client
from client.api.jobs import read_job, submit_job
from client.api.results import read_file
from client.models import NewJob


def main():
    server, alignment = sys.argv[1], Path(sys.argv[2]).read_text()
    client = Client(base_url=server, raise_on_unexpected_status=True)
    job = submit_job.sync(client=client, body=NewJob(alignment=alignment, name="generated"))
    for _ in range(30):
        job = read_job.sync(job.id, client=client, wait=10)
        if str(job.state) in ("succeeded", "failed", "cancelled"):
            break
    assert str(job.state) == "succeeded", job
    scores = read_file.sync(job.id, "rank_001.scores.json", client=client)
    assert len(scores["plddt"]) == job.residues, job
    # The generator takes a file of several types for JSON; its connection serves for the others.
    pdb = client.get_httpx_client().get(job.links.result).text
    assert pdb.count(" CA ") == job.residues, job
    print(f"generated client: {job.residues} residues")


main()
