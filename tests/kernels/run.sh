#!/usr/bin/env bash
# Runs every kernel of kernels/ on the CPU, thread by thread, against float64. Needs a C++20 compiler only.
#   tests/kernels/run.sh [NAME...]     all, or e.g. attention
# Builds into $OUT, or a folder that is removed. Three minutes on one core, most of them compiling.
# The compiler marks every access to memory; the marks go to races.hpp, not to a sanitizer's library.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-}
if [ -z "$out" ]; then
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
fi
mkdir -p "$out"
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
    names=(emulator_test layers layers_backward)
    for kernel in "$here"/../../kernels/*.cu; do names+=("$(basename "$kernel" .cu)"); done
fi

total_passed=0
total_failed=0
for name in "${names[@]}"; do
    echo "== $name"
    "${CXX:-g++}" -std=c++20 -O2 -Wall -Wextra -Wno-unknown-pragmas -fsanitize=thread -c -o "$out/$name.o" "$here/$name.cpp"
    "${CXX:-g++}" -o "$out/$name" "$out/$name.o"
    "$out/$name" | tee "$out/$name.log" || true
    last=$(tail -n 1 "$out/$name.log")
    if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        total_passed=$((total_passed + BASH_REMATCH[1]))
        total_failed=$((total_failed + BASH_REMATCH[2]))
    else
        echo "ERROR  $name ended early" >&2
        total_failed=$((total_failed + 1))
    fi
done
echo "$total_passed passed, $total_failed failed"
[ "$total_failed" -eq 0 ]
