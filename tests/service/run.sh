#!/usr/bin/env bash
# The service's bars: tests/service/run.sh [quick|full]
#   quick  both stores under kills and failpoints, S3, the whole service under 100 kills a store, its clients, its page (CI)
#   full   the same with 1,000 kills and 100 stops of PostgreSQL, locks of 30 s, and what measures time: a quiet machine, an hour
# Needs, and as root on Debian installs: PostgreSQL, Chromium, Node 20, Python 3.11. CARGO_TARGET_DIR is honoured.
set -euo pipefail
cd "$(dirname "$0")/../.."
mode=${1:-quick}
target=${CARGO_TARGET_DIR:-$PWD/target}
case $mode in
    quick) kills=100 stops=5 cycles=100 lock=2 ;;
    full) kills=1000 stops=100 cycles=1000 lock=30 ;;
    *) echo "run.sh: expected quick or full, found $mode" >&2 && exit 2 ;;
esac
# shellcheck source=tests/service/server.sh
. tests/service/server.sh
step() { printf '\n-- %s\n' "$*"; "$@"; }

need() { # PROGRAM PACKAGE
    command -v "$1" >/dev/null && return
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "run.sh: $1 is not there; install $2" >&2; exit 2; }
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null
}
need /usr/lib/postgresql/*/bin/initdb postgresql
need chromium chromium
# Debian's `faketime`, for clocks that are off; without it those tests say NOT RUN.
need faketime faketime

# An S3-compatible server for the tests, of its own environment.
s3=$target/s3-venv
if [ ! -x "$s3/bin/moto_server" ]; then
    python3 -m venv "$s3"
    "$s3/bin/pip" install --quiet --disable-pip-version-check 'moto[server]==5.2.5'
fi
export PATH=$PATH:$s3/bin

page() {
    api/web/check.sh
    npm ci --prefix tests/service/page --ignore-scripts --silent
    npm test --prefix tests/service/page --silent
    # And against the server itself.
    local work server address
    work=$(mktemp -d)
    start_server "$target/debug/foldry" "$work"
    local status=0
    BASE=http://$address SHOTS=$work/shots npm test --prefix tests/service/page --silent || status=$?
    kill -TERM "$server"
    wait "$server"
    [ $status -eq 0 ] || cat "$work/log"
    rm -rf "$work"
    return $status
}

export FOLDRY_KILLS=$kills FOLDRY_STOPS=$stops FOLDRY_LOCK_SECONDS=$lock FOLDRY_CYCLES=$cycles
step tests/service/postgres.sh cargo test --locked -p jobs --features s3 -- --include-ignored
step tests/service/postgres.sh cargo test --locked -p foldry --test service -- --nocapture
step tests/service/small_postgres.sh cargo test --locked -p foldry --test service -- --nocapture full_disk
step cargo build --locked --quiet -p foldry
FOLDRY=$target/debug/foldry step tests/service/clients/run.sh
step page
if [ "$mode" = full ]; then
    step cargo build --locked --release --quiet -p jobs
    bars=$(mktemp -d)
    step "$target/release/jobs-bars" sqlite "$bars"
    rm -r "$bars"
    # shellcheck disable=SC2016 # the script's own variable
    step tests/service/postgres.sh sh -c '"$0" postgres "$FOLDRY_TEST_POSTGRES"' "$target/release/jobs-bars"
    step cargo test --locked --release -p foldry --test service -- --ignored --nocapture load
    # Failpoints are not in what is released.
    step sh -c '! grep -q FOLDRY_FAILPOINT "$0"' "$target/release/foldry"
fi
printf '\nservice: %s: all passed\n' "$mode"
