"""Folds the example through the client that openapi-python-client made from the served description. SERVER ALIGNMENT"""

import sys
import time
from pathlib import Path

from client import Client
from client.api.jobs import get_job, get_result, submit_job
from client.models import NewJob


def main():
    server, alignment = sys.argv[1], Path(sys.argv[2]).read_text()
    client = Client(base_url=server, raise_on_unexpected_status=True)
    job = submit_job.sync(client=client, body=NewJob(alignment=alignment, name="generated"))
    for _ in range(300):
        job = get_job.sync(client=client, id=job.id)
        if str(job.state) in ("succeeded", "failed", "cancelled"):
            break
        time.sleep(0.2)
    assert str(job.state) == "succeeded", job
    pdb = get_result.sync_detailed(client=client, id=job.id).content.decode()
    assert pdb.count(" CA ") == job.residues, job
    print(f"generated client: {job.residues} residues")


main()
