#!/usr/bin/env bash
# CPU code at every level of vector instructions: the tests of crate nn with AVX2, with none, and with NEON in qemu, and the
# whole program compiled for 64-bit ARM. Installs qemu and a C compiler for ARM from Debian, and Rust's library for it, where
# they are missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

for level in avx2 plain; do
    echo "FOLDRY_SIMD=$level"
    FOLDRY_SIMD=$level cargo test --locked --quiet -p nn --lib
done

arm=aarch64-unknown-linux-gnu
if ! rustup target list --installed | grep -qx $arm && ! timeout 300 rustup target add $arm; then
    echo "64-bit ARM NOT checked: no Rust library for it can be had"
    exit 0
fi
if ! command -v qemu-aarch64-static >/dev/null || ! command -v aarch64-linux-gnu-g++ >/dev/null; then
    apt-get update --quiet=2
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --no-install-recommends \
        qemu-user-static g++-aarch64-linux-gnu libc6-dev-arm64-cross
fi
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu"
cargo test --locked --quiet -p nn --lib --target $arm
cargo check --locked --quiet -p foldry --target $arm
