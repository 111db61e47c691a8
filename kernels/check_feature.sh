#!/usr/bin/env bash
# Checks the Rust code of the feature `cuda` (clippy, warnings are errors) without compiling any kernel. CARGO_TARGET_DIR is honoured; a folder
# within it is used.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/cuda-feature
eval "$("$root/kernels/stand_in.sh" "$CARGO_TARGET_DIR/nvcc")"
cd "$root"
cargo clippy --locked -p nn -p fold -p foldry --features foldry/cuda --all-targets -- -D warnings
