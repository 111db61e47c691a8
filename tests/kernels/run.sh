#!/usr/bin/env bash
# Runs every kernel of kernels/ on the CPU, thread by thread, against float64. Needs a C++20 compiler only.
#   tests/kernels/run.sh [NAME...]     all, or e.g. attention; `rust` is whole operations as crates/nn launches them (needs cargo)
#   tests/kernels/run.sh driver       the program with the feature `cuda`, whole, on a fake driver; not among `all`. FOLDRY=PROGRAM: one built before
# Builds into $OUT, or a folder that is removed. Three minutes on one core, most of them compiling, and the time to build nn; `driver`
# five, and the time to build foldry.
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

# The folder of candle's kernels.
candle_kernels() {
    local manifest
    manifest=$(cargo metadata --format-version 1 --locked --features foldry/cuda --manifest-path "$here/../../Cargo.toml" |
        grep -o '"manifest_path":"[^"]*/candle-kernels-[^"]*Cargo.toml"' | head -n 1 | cut -d '"' -f 4)
    [ -n "$manifest" ] || { echo "expected the crate candle-kernels among the dependencies" >&2; return 1; }
    echo "$(dirname "$manifest")/src"
}

# How often the fake driver was asked for what begins with $2, by its log.
asked() { awk -v what="$2" 'index($0, what) == 1 { n += $NF } END { print n + 0 }' "$1"; }

# A program as it is shipped, with CUDA's libraries replaced by one that runs all kernels in the emulator.
driver() {
    local foldry=${FOLDRY:-} root=$here/../.. kernels target header device dtype lengths recycles
    local golden=$root/tests/golden/fold small=(--msa 5 --extra 7)
    if [ -z "$foldry" ]; then
        target=${CARGO_TARGET_DIR:-$root/target}
        (eval "$("$root/kernels/stand_in.sh" "$target/cuda-feature/nvcc")" &&
            cargo build --quiet --locked --manifest-path "$root/Cargo.toml" -p foldry --features cuda) || return 1
        # A copy: the next build without the feature takes the name.
        cp "$target/debug/foldry" "$out/foldry" && foldry=$out/foldry || return 1
    fi
    kernels=$(candle_kernels) && mkdir -p "$out/libraries" "$out/headers/cuda/std" || return 1
    for header in cuda_fp16.h cuda_bf16.h cuda_fp8.h cuda.h cuda/std/limits; do : >"$out/headers/$header"; done
    "${CXX:-g++}" -std=c++20 -O2 -Wall -Wextra -Wno-unknown-pragmas -shared -fPIC -isystem "$out/headers" -isystem "$kernels" \
        -o "$out/libraries/libcuda.so.1" "$here/fake_driver.cpp" || return 1
    for library in libcublas.so.13 libcublasLt.so.13 libcurand.so.10; do ln -sf libcuda.so.1 "$out/libraries/$library"; done
    export LD_LIBRARY_PATH=$out/libraries
    "$foldry" doctor --json | grep -q '"name":"the emulator"' || return 1
    for dtype in f32 bf16; do
        "$foldry" bench op --device cuda --check --dtype "$dtype" --lengths 9 "${small[@]}" || return 1
        "$foldry" bench model --device cuda --check --dtype "$dtype" --lengths 9,18 --blocks 2 "${small[@]}" || return 1
        "$foldry" bench train --device cuda --check --dtype "$dtype" --crop 10 --steps 1 --recycles 1 --channels 64 --blocks 1 --extra-blocks 1 \
            "${small[@]}" || return 1
    done
    # Features, which are longer than what the driver takes at once, are uploaded without waiting: twice as many passes wait as often.
    for lengths in 9 9,9; do
        FOLDRY_DRIVER_LOG=$out/uploads_$lengths "$foldry" bench model --device cuda --dtype bf16 --blocks 1 --msa 40 --extra 90 --lengths "$lengths" || return 1
    done
    [ "$(asked "$out/uploads_9" "wait for ordinary memory")" = "$(asked "$out/uploads_9,9" "wait for ordinary memory")" ] ||
        { echo "expected that features come from locked memory" >&2; return 1; }
    # AlphaFold's network with templates, after one pass and after two.
    for recycles in 0 1; do
        forward=("$foldry" forward --config "$golden/config.json" --params "$golden/params.npz" --features "$golden/features.npz" --recycles "$recycles")
        "${forward[@]}" -o "$out/cpu.safetensors" || return 1
        FOLDRY_DRIVER_LOG=$out/passes_$recycles "${forward[@]}" --device cuda -o "$out/cuda.safetensors" || return 1
        python3 "$root/tests/gpu/compare.py" "$out/cpu.safetensors" "$out/cuda.safetensors" || return 1
    done
    more "$out/passes_0" "$out/passes_1" wait "copy to the host" | grep -q '^0 0$' ||
        { echo "expected that a pass waits for nothing, and reads nothing" >&2; return 1; }
    # A prediction of the built-in model, by both devices.
    printf '>a\nMKVLAAGIVGLCAKAYLE\n' >"$out/a.fasta"
    for device in cpu cuda; do
        FOLDRY_WEIGHTS=$out/none "$foldry" fold "$out/a.fasta" -o "$out/fold_$device" --device "$device" --overwrite || return 1
    done
    atoms() { grep '^ATOM' "$out/fold_$1/a/rank_001.pdb" | cut -c 31-54; }
    paste <(atoms cpu) <(atoms cuda) | awk '{ for (i = 1; i <= 3; i++) { d = $i - $(i + 3); if (d * d > worst) worst = d * d } }
        END { printf "%d atoms, at most %.3f Å apart\n", NR, sqrt(worst); exit !(NR > 100 && worst < 1e-4) }' || return 1
    full_size "$foldry"
}

# For each of some beginnings: how much more often the second log has it than the first.
more() {
    local before=$1 after=$2 what line=()
    shift 2
    for what in "$@"; do line+=($(($(asked "$after" "$what") - $(asked "$before" "$what")))); done
    echo "${line[*]}"
}

# Networks of full size, of which nothing is computed: what they ask the driver for. Limits are what was seen and a little more: a number that
# grows is a regression.
full_size() {
    local foldry=$1 dtype lengths steps line all=(launch products copy fill) seen
    export FOLDRY_DRIVER_DRY=1 FOLDRY_DRIVER_MEMORY=149000000000
    for dtype in bf16 f32; do
        # Memory held, and planned: at most 2% more or less.
        "$foldry" bench model --device cuda --dtype "$dtype" --lengths 256,512,1024,2048,4096 --json >"$out/plans" || return 1
        while read -r line; do
            number() { grep -o "\"$1\":[0-9]*" <<<"$line" | cut -d : -f 2; }
            awk -v r="$(number residues)" -v held="$(number peak_bytes)" -v planned="$(($(number planned_bytes) - $(number planned_for_driver_bytes)))" \
                -v dtype="$dtype" 'BEGIN { printf "%s r = %d: %.3f GB held, %.3f planned\n", dtype, r, held / 1e9, planned / 1e9
                    exit !(planned > 0.98 * held && planned < 1.02 * held) }' || { echo "expected what was planned" >&2; return 1; }
        done <"$out/plans"
    done
    # Four passes more.
    for lengths in 256 256,256; do
        FOLDRY_DRIVER_LOG=$out/full_$lengths "$foldry" bench model --device cuda --dtype bf16 --lengths "$lengths" >"$out/said" || return 1
    done
    seen=$(($(more "$out/full_256" "$out/full_256,256" "${all[@]}" | tr ' ' '+')))
    echo "a pass at r = 256 in bf16: $((seen / 4)) launches, products and copies"
    [ "$seen" -le $((4 * 2300)) ] || { echo "expected at most 2300" >&2; return 1; }
    for steps in 1 2; do
        FOLDRY_DRIVER_LOG=$out/steps_$steps "$foldry" bench train --device cuda --dtype bf16 --crop 256 --msa 128 --extra 1024 --blocks 48 --extra-blocks 4 \
            --channels 0 --steps "$steps" | tee "$out/said" || return 1
    done
    seen=$(($(more "$out/steps_1" "$out/steps_2" "${all[@]}" | tr ' ' '+')))
    echo "a step of training: $seen launches, products and copies"
    [ "$seen" -le 24000 ] || { echo "expected at most 24000" >&2; return 1; }
}

total_passed=0
total_failed=0
for name in "${names[@]}"; do
    echo "== $name"
    if [ "$name" = rust ] || [ "$name" = driver ]; then
        ("$name") || total_failed=$((total_failed + 1))
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
