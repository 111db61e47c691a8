#!/usr/bin/env bash
# A served description against the server: schemathesis, a client generated from it, and clients written for NIM OpenFold2 and ESMFold.
# Needs Python 3.11 with its package index. FOLDRY names the binary, else it is built; VENV the place of the environment.
set -euo pipefail
cd "$(dirname "$0")/../../.."
root=$PWD here=$PWD/tests/service/clients
target=${CARGO_TARGET_DIR:-$PWD/target}
venv=${VENV:-$target/clients-venv}
foldry=${FOLDRY:-$target/debug/foldry}
if [ -z "${FOLDRY:-}" ]; then
    cargo build --locked --quiet -p foldry
fi
if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/"
fi
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT

. tests/service/server.sh
start_server "$foldry" "$work" --queued 1000000

# What its checks do not know of this service is in the file of settings, each with its reason.
(cd "$work" && "$venv/bin/schemathesis" --config-file "$root/api/schemathesis.toml" run "http://$address/openapi.json" --seed "${SEED:-1}" \
    --max-examples "${EXAMPLES:-25}" --request-timeout 70)

# It leaves out what it cannot say (plain text as a body), which it warns of.
(cd "$work" && PATH=$venv/bin:$PATH openapi-python-client generate --url "http://$address/openapi.json" --output-path client --meta none >generated.log 2>&1) \
    || { cat "$work/generated.log"; exit 1; }
PYTHONPATH=$work "$venv/bin/python" "$here/generated.py" "http://$address" data/examples/4mo0_A.a3m
"$venv/bin/python" "$here/nim.py" "http://$address" data/examples/4mo0_A.a3m
"$venv/bin/python" "$here/esmfold.py" "http://$address"
kill -TERM "$server"
wait "$server"
server=
grep -q serve.end "$work/log"
echo "clients: all passed"
