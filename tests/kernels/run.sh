#!/usr/bin/env bash
# Runs every kernel of kernels/ on the CPU, thread by thread, against float64. Needs a C++20 compiler only.
#   tests/kernels/run.sh [NAME...]     all, or e.g. attention; `rust` is whole operations as crates/nn launches them (needs cargo)
#   FOLDRY=PROGRAM tests/kernels/run.sh driver     a program built with the feature `cuda`, on a fake driver; not among `all`
# Builds into $OUT, or a folder that is removed. Three minutes on one core, most of them compiling, and the time to build nn.
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
    names+=(rust)
fi

# Operations of crates/nn, with the kernels run by the emulator.
rust() {
    "${CXX:-g++}" -std=c++20 -O2 -Wall -Wextra -Wno-unknown-pragmas -shared -fPIC -o "$out/libemulated.so" "$here/library.cpp"
    FOLDRY_EMULATOR=$out/libemulated.so cargo test --quiet --locked --manifest-path "$here/../../Cargo.toml" \
        -p nn --test emulated -- --ignored --test-threads 1
}

# A program as it is shipped, with CUDA's libraries replaced by one that runs the kernels in the emulator.
driver() {
    mkdir -p "$out/libraries"
    "${CXX:-g++}" -std=c++20 -O2 -Wall -Wextra -Wno-unknown-pragmas -shared -fPIC -o "$out/libraries/libcuda.so.1" "$here/fake_driver.cpp"
    for library in libcublas.so.13 libcublasLt.so.13 libcurand.so.10; do ln -sf libcuda.so.1 "$out/libraries/$library"; done
    local foldry=${FOLDRY:?expected a program built with the feature cuda} dtype only
    LD_LIBRARY_PATH=$out/libraries "$foldry" doctor --json | grep -q '"name":"the emulator"' || return 1
    # Operations that have kernels; the fake driver has few of candle's.
    for dtype in f32 bf16; do
        for only in triangle transition msa_ extra_ outer point pair_bias linear layer_norm; do
            LD_LIBRARY_PATH=$out/libraries "$foldry" bench op --device cuda --check --dtype "$dtype" --only "$only" --lengths 9 --msa 5 --extra 11 || return 1
        done
    done
}

total_passed=0
total_failed=0
for name in "${names[@]}"; do
    echo "== $name"
    if [ "$name" = rust ] || [ "$name" = driver ]; then
        "$name" || total_failed=$((total_failed + 1))
        continue
    fi
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
