# Sourced: a server for a script.  start_server FOLDRY FOLDER [OPTION...]  sets server (its process) and address.
start_server() {
    local foldry=$1 folder=$2
    shift 2
    touch "$folder/log"
    FOLDRY_WEIGHTS=$folder/none "$foldry" serve --nice 0 --listen 127.0.0.1:0 --data "$folder/data" "$@" 2>"$folder/log" &
    server=$!
    for _ in $(seq 300); do
        address=$(sed -n 's/.*serve\.ready.*address=\([0-9.:]*\).*/\1/p' "$folder/log")
        [ -z "$address" ] || return 0
        sleep 0.2
    done
    cat "$folder/log" >&2
    return 1
}
