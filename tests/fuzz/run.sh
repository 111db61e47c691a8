#!/usr/bin/env bash
# Builds the fuzz targets on stable with coverage feedback and runs each for a while.
# Usage: tests/fuzz/run.sh SECONDS [TARGET...]
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:?usage: run.sh SECONDS [TARGET...]}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(fasta a3m stockholm pdb mmcif npz safetensors pickle dataset jobfile)

# What cargo-fuzz passes, without its address sanitizer, which needs nightly.
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks"
cargo build --release --locked --target "$host"

built=${CARGO_TARGET_DIR:-target}/$host/release
for target in "${targets[@]}"; do
    corpus=$(mktemp -d)
    cp "seeds/$target"/* "$corpus"
    echo "== $target"
    "$built/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$corpus/" "$corpus" 2>&1 | grep -E "stat::|ERROR|SUMMARY|panicked|Test unit|DONE"
done
