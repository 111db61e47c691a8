#!/usr/bin/env bash
# Builds what tests/gpu/run.sh needs on a machine with a GPU, on one without.
#   CUDA_HOME=$(kernels/toolchain.sh FOLDER) tests/gpu/build.sh OUT_FOLDER [cases]
# OUT_FOLDER gets `foldry` with the feature `cuda` and `train-mlp`, stripped, and with `cases` the kernels' own cases (tests/kernels/build_gpu.sh), which
# take minutes to compile. CARGO_TARGET_DIR is honoured; CUDA_COMPUTE_CAP says for which GPUs candle's kernels are compiled.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
out=${1:?usage: tests/gpu/build.sh OUT_FOLDER [cases]}
if [ -n "${CUDA_HOME:-}" ]; then export PATH=$CUDA_HOME/bin:$PATH; fi
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80}
mkdir -p "$out"
cargo build --release --locked --manifest-path "$root/Cargo.toml" -p foldry --features cuda
cargo build --release --locked --manifest-path "$root/Cargo.toml" -p train --bin train-mlp
strip -o "$out/train-mlp" "${CARGO_TARGET_DIR:-$root/target}/release/train-mlp"
strip -o "$out/foldry" "${CARGO_TARGET_DIR:-$root/target}/release/foldry"
if [ "${2:-}" = cases ]; then "$root/tests/kernels/build_gpu.sh" "$out/cases"; fi
ls -l "$out"
