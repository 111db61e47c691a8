#!/usr/bin/env bash
# Training on several processes that talk through MPI is training on one, also when it is resumed on another number of them; one
# that stops or fails ends all (crates/cli/tests/ranks.rs, which prints what it measures). Needs Open MPI and libclang, which it
# installs from Debian where they are missing; and no network otherwise.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Not libclang-cpp, which other packages bring.
if ! command -v mpicc >/dev/null || ! command -v mpirun >/dev/null || ! ls /usr/lib/llvm-*/lib/libclang.so* >/dev/null 2>&1; then
    apt-get update --quiet=2
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --no-install-recommends openmpi-bin libopenmpi-dev libclang-dev
fi
cargo clippy --locked -p train -p foldry --features foldry/mpi --all-targets -- -D warnings
cargo test --locked -p foldry --features mpi --test ranks -- --nocapture --test-threads=1
