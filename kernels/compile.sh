#!/usr/bin/env bash
# Compiles every kernel for sm_80 and sm_90a; no GPU needed.
#   kernels/compile.sh [OUT_FOLDER]   nvcc from PATH, or from CUDA_HOME (toolchain.sh prints one); cubins go to OUT_FOLDER
# Prints registers, static shared memory and spilled bytes of each kernel. Fails if a kernel spills more than its
# file allows in the line `// limit: spills N` (bytes, stores and loads together), or `// limit: spills N KERNEL` for one.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-}
if [ -z "$out" ]; then
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
fi
mkdir -p "$out"
if [ -n "${CUDA_HOME:-}" ]; then PATH=$CUDA_HOME/bin:$PATH; fi
if ! command -v nvcc >/dev/null; then
    echo "ERROR  no nvcc: expected one on PATH or in CUDA_HOME" >&2
    echo "       hint: CUDA_HOME=\$(kernels/toolchain.sh FOLDER) kernels/compile.sh" >&2
    exit 1
fi
if grep -nE '^ *#include *(<|"[^"]*/)' "$here"/*.cu "$here"/*.cuh; then
    echo "ERROR  kernels include files of their own folder only" >&2
    exit 1
fi

printf '%-8s %-34s %9s %7s %7s\n' arch kernel registers shared spills
failed=0
for file in "$here"/*.cu; do
    limit=$(sed -n 's|^// limit: spills \([0-9][0-9]*\)$|\1|p' "$file")
    if [ -z "$limit" ]; then
        echo "ERROR  $file: expected a line '// limit: spills N'" >&2
        exit 1
    fi
    exceptions=$(sed -n 's|^// limit: spills \([0-9][0-9]*\) \([a-z0-9_][a-z0-9_]*\)$|\2=\1|p' "$file" | tr '\n' ' ')
    for arch in sm_80 sm_90a; do
        log=$out/$(basename "$file" .cu).$arch.log
        if ! nvcc -std=c++17 -O3 -arch="$arch" -cubin -Xptxas -v -Werror all-warnings \
            -o "$out/$(basename "$file" .cu).$arch.cubin" "$file" >"$log" 2>&1; then
            cat "$log" >&2
            exit 1
        fi
        awk -v arch="$arch" -v limit="$limit" -v exceptions="$exceptions" -v file="$(basename "$file")" '
            BEGIN { n = split(exceptions, e, " "); for (i = 1; i <= n; i++) { split(e[i], kv, "="); allowed[kv[1]] = kv[2] } }
            /Compiling entry function/ { split($0, part, "\047"); kernel = part[2] }
            /bytes spill stores/ { for (i = 2; i <= NF; i++) if ($i == "spill") spills += $(i - 2) }
            /Used [0-9]+ registers/ {
                shared = 0
                for (i = 1; i < NF; i++) {
                    if ($(i + 1) ~ /^registers/) registers = $i
                    if ($(i + 1) == "bytes" && $(i + 2) ~ /^smem/) shared = $i
                }
                printf "%-8s %-34s %9d %7d %7d\n", arch, kernel, registers, shared, spills
                most = kernel in allowed ? allowed[kernel] + 0 : limit + 0
                if (spills > most) {
                    printf "ERROR  %s: %s for %s spills %d bytes, expected at most %d\n", file, kernel, arch, spills, most
                    bad = 1
                }
                seen++
                spills = 0
            }
            END { if (!seen) { printf "ERROR  %s: no kernel seen\n", file; bad = 1 } exit bad }' "$log" || failed=1
    done
done
exit $failed
