#!/bin/sh
# Runs a command with private PostgreSQL servers and an S3-compatible store beside it:
#   tests/service/postgres.sh [COMMAND...]
# Without a command: the tests of `jobs`, those that need PostgreSQL or S3 too.
#
# The command sees
#   FOLDRY_TEST_POSTGRES         URL of a server that stays up
#   FOLDRY_TEST_POSTGRES_CA      folder with ca.pem, which signed that server's certificate for 127.0.0.1, and other.pem, which
#                                did not. The URLs say sslmode=disable, as some tests look into what is sent.
#   FOLDRY_TEST_POSTGRES_MORTAL  URL of another, which a test may kill
#   FOLDRY_TEST_POSTGRES_CTL     program: `kill` (as by a power cut: SIGKILL to all of its processes) or `start` for that one
#   FOLDRY_TEST_S3               endpoint with a bucket `foldry-test`, if there is an S3 server to run: moto's
#                                (pip install 'moto[server]'), or s3rver's, which checks signatures: npm install s3rver,
#                                and S3RVER names its executable (3.7 answers `bytes=0-0` with the whole object, so one
#                                test fails there). Tests of S3 fail without a server.
# Fails if the command fails, and if it left no table in the first: then it tested nothing there.
# Needs `openssl` and Debian's `postgresql` or its like; PG_BIN names the folder of initdb and postgres. FSYNC=off is faster.
set -eu

if [ $# -eq 0 ]; then
    set -- cargo test -p jobs --features s3 -- --include-ignored
fi
bin=${PG_BIN:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)}
if [ ! -x "$bin/initdb" ]; then
    echo "postgres.sh: expected initdb in ${bin:-/usr/lib/postgresql/*/bin}, found none; apt install postgresql, or set PG_BIN" >&2
    exit 2
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/foldry-postgres.XXXXXX")
as=
if [ "$(id -u)" = 0 ]; then
    # The servers refuse to run as root.
    user=postgres
    id "$user" >/dev/null 2>&1 || user=nobody
    chown "$user" "$folder"
    as="runuser -u $user --"
fi
cd_free() { (cd "$folder" && "$@"); } # a folder that the servers' user may enter

s3=
stop() {
    [ -z "$s3" ] || kill "$s3" 2>/dev/null || true
    for name in steady mortal; do
        if [ -f "$folder/$name/postmaster.pid" ]; then
            cd_free $as "$bin/pg_ctl" -D "$folder/$name" -m immediate stop >/dev/null 2>&1 || true
        fi
    done
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
start() { # NAME PORT [OPTIONS]
    cd_free $as "$bin/pg_ctl" -D "$folder/$1" -l "$folder/$1.log" -w -t 60 \
        -o "-p $2 -h 127.0.0.1 -k $folder -c fsync=${FSYNC:-on} -c max_connections=200 -c autovacuum_naptime=5s ${3:-}" \
        start >/dev/null || { cat "$folder/$1.log" >&2; exit 1; }
}

echo secret >"$folder/password"
[ -z "$as" ] || chown "$user" "$folder/password"
cd_free $as "$bin/initdb" -D "$folder/steady" -U foldry --pwfile="$folder/password" -A scram-sha-256 -E UTF8 --locale=C \
    >"$folder/initdb.log" 2>&1 || { cat "$folder/initdb.log" >&2; exit 1; }
cd_free $as cp -a "$folder/steady" "$folder/mortal"

# An authority, a stranger, and the server's key and certificate.
mkdir "$folder/tls"
for name in ca other; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$name" \
        -keyout "$folder/tls/$name.key" -out "$folder/tls/$name.pem" 2>>"$folder/tls.log"
done || { cat "$folder/tls.log" >&2; exit 1; }
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=127.0.0.1" \
    -keyout "$folder/server.key" -out "$folder/tls/server.csr" 2>>"$folder/tls.log" || { cat "$folder/tls.log" >&2; exit 1; }
echo "subjectAltName=IP:127.0.0.1" >"$folder/tls/server.ext"
openssl x509 -req -in "$folder/tls/server.csr" -CA "$folder/tls/ca.pem" -CAkey "$folder/tls/ca.key" -CAcreateserial -days 2 \
    -extfile "$folder/tls/server.ext" -out "$folder/server.pem" 2>>"$folder/tls.log" || { cat "$folder/tls.log" >&2; exit 1; }
chmod 600 "$folder/server.key"
[ -z "$as" ] || chown "$user" "$folder/server.key" "$folder/server.pem"

steady=$(free_port)
start steady "$steady" "-c ssl=on -c ssl_cert_file=$folder/server.pem -c ssl_key_file=$folder/server.key"
mortal=$(free_port)
start mortal "$mortal"

endpoint=
port=$(free_port)
mkdir "$folder/s3"
if [ -n "${S3RVER:-}" ]; then
    "$S3RVER" -a 127.0.0.1 -p "$port" -d "$folder/s3" --configure-bucket foldry-test >"$folder/s3.log" 2>&1 &
    s3=$!
    endpoint=http://127.0.0.1:$port
elif command -v moto_server >/dev/null; then
    moto_server -H 127.0.0.1 -p "$port" >"$folder/s3.log" 2>&1 &
    s3=$!
    endpoint=http://127.0.0.1:$port
fi
if [ -n "$endpoint" ]; then
    python3 - "$endpoint" "${S3RVER:+made}" <<'EOF' || { cat "$folder/s3.log" >&2; exit 1; }
import sys, time, urllib.error, urllib.request
endpoint, made = sys.argv[1:]
request = urllib.request.Request(endpoint + "/foldry-test", method="HEAD" if made else "PUT")
for attempt in range(200):
    try:
        urllib.request.urlopen(request)
        break
    except urllib.error.HTTPError as error:
        if made and error.code == 403: break  # it wants a signature, so it is up
        raise
    except OSError:
        time.sleep(0.1)
else:
    sys.exit(f"the S3 server did not answer at {endpoint}")
EOF
    export FOLDRY_TEST_S3="$endpoint"
fi

cat >"$folder/ctl" <<EOF
#!/bin/sh
set -eu
cd "$folder"
case "\$1" in
kill)
    postmaster=\$(head -1 "$folder/mortal/postmaster.pid")
    # Stopped first, so that it neither replaces nor tidies up after its children.
    kill -STOP "\$postmaster"
    kill -KILL \$(ps -o pid= --ppid "\$postmaster") "\$postmaster"
    while kill -0 "\$postmaster" 2>/dev/null; do sleep 0.01; done
    ;;
start)
    $as "$bin/pg_ctl" -D "$folder/mortal" -l "$folder/mortal.log" -w -t 60 \\
        -o "-p $mortal -h 127.0.0.1 -k $folder -c fsync=${FSYNC:-on} -c max_connections=200" start >/dev/null 2>>"$folder/mortal.log"
    ;;
*) echo "ctl: expected kill or start, found \$1" >&2; exit 2 ;;
esac
EOF
chmod 755 "$folder/ctl"
chmod 755 "$folder"

url() { echo "postgres://foldry:secret@127.0.0.1:$1/postgres?sslmode=disable"; }
status=0
FOLDRY_TEST_POSTGRES=$(url "$steady") FOLDRY_TEST_POSTGRES_MORTAL=$(url "$mortal") \
    FOLDRY_TEST_POSTGRES_CA=$folder/tls FOLDRY_TEST_POSTGRES_CTL=$folder/ctl "$@" || status=$?
[ $status -eq 0 ] || exit $status

tables=$(PGPASSWORD=secret "$bin/psql" -h 127.0.0.1 -p "$steady" -U foldry -d postgres -Atc \
    "SELECT count(*) FROM information_schema.tables WHERE table_name = 'foldry_version'")
if [ "$tables" = 0 ]; then
    echo "postgres.sh: the command succeeded, but never used FOLDRY_TEST_POSTGRES; tests of cargo need -- --include-ignored" >&2
    exit 1
fi
echo "postgres.sh: $tables job databases were made in PostgreSQL $("$bin/postgres" --version | grep -oE '[0-9.]+' | head -1)"
