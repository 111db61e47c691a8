#!/bin/sh
# Runs a command with a PostgreSQL server whose tables are on a disk of 64 MiB that nobody else sees:
#   tests/service/small_postgres.sh COMMAND...
# The command sees FOLDRY_TEST_POSTGRES_SMALL, its URL, and FOLDRY_TEST_POSTGRES_BALLAST, a file that makes room when it is
# removed. The write-ahead log is on the machine's own disk: without room for it PostgreSQL stops, and does not answer.
# Needs root, as it mounts a disk (in a namespace of its own); else it says NOT RUN, and the command is not run.
set -eu
if [ "$(id -u)" != 0 ] || ! unshare --mount true 2>/dev/null; then
    echo "small_postgres.sh: NOT RUN: wants root, to mount a small disk"
    exit 0
fi
[ "${SMALL_POSTGRES:-}" = mounted ] || SMALL_POSTGRES=mounted exec unshare --mount --propagation private "$0" "$@"

bin=${PG_BIN:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)}
if [ ! -x "$bin/initdb" ]; then
    echo "small_postgres.sh: expected initdb in ${bin:-/usr/lib/postgresql/*/bin}, found none; apt install postgresql, or set PG_BIN" >&2
    exit 2
fi
user=postgres
id "$user" >/dev/null 2>&1 || user=nobody
folder=$(mktemp -d "${TMPDIR:-/tmp}/foldry-small.XXXXXX")
chmod 755 "$folder"
mkdir "$folder/disk" "$folder/wal"
mount -t tmpfs -o size=64m small "$folder/disk"
chown "$user" "$folder" "$folder/disk" "$folder/wal"
cd "$folder"
as() { runuser -u "$user" -- "$@"; }
stop() {
    [ ! -f disk/data/postmaster.pid ] || as "$bin/pg_ctl" -D "$folder/disk/data" -m immediate stop >/dev/null 2>&1 || true
    cd /
    umount "$folder/disk"
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM

echo secret >password
as "$bin/initdb" -D "$folder/disk/data" -X "$folder/wal/log" -U foldry --pwfile="$folder/password" -A scram-sha-256 -E UTF8 \
    --locale=C >initdb.log 2>&1 || { cat initdb.log >&2; exit 1; }
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
as "$bin/pg_ctl" -D "$folder/disk/data" -l "$folder/log" -w -t 60 -o "-p $port -h 127.0.0.1 -k $folder -c autovacuum=off" start >/dev/null ||
    { cat log >&2; exit 1; }
# All but a little of what is left.
free=$(df --output=avail -k "$folder/disk" | tail -1)
ballast=$folder/disk/ballast
head -c $(((free - 1024) * 1024)) /dev/zero >"$ballast"
cd "$OLDPWD"
status=0
FOLDRY_TEST_POSTGRES_SMALL=postgres://foldry:secret@127.0.0.1:$port/postgres FOLDRY_TEST_POSTGRES_BALLAST=$ballast "$@" || status=$?
cd "$folder"
exit $status
