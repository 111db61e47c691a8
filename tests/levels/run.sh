#!/usr/bin/env bash
# CPU code at every level of vector instructions: the tests of crate nn with AVX2, with none, and with NEON in qemu; and the
# whole program checked for Macs. Installs qemu and a C compiler for ARM from Debian, and Rust's libraries, where they are
# missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

for level in avx2 plain; do
    echo "FOLDRY_SIMD=$level"
    FOLDRY_SIMD=$level cargo test --locked --quiet -p nn --lib
done

arm=aarch64-unknown-linux-gnu mac=aarch64-apple-darwin
if ! timeout 300 rustup target add $arm $mac; then
    echo "64-bit ARM NOT checked: no Rust libraries for it can be had"
    exit 0
fi
if ! command -v qemu-aarch64-static >/dev/null || ! command -v aarch64-linux-gnu-gcc >/dev/null; then
    apt-get update --quiet=2
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --no-install-recommends \
        qemu-user-static gcc-aarch64-linux-gnu libc6-dev-arm64-cross
fi
echo "NEON"
CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu" \
    cargo test --locked --quiet -p nn --lib --target $arm

# Rust code is checked without what C libraries give, so that their compiler may make nothing.
echo "$mac"
stand_in=$(mktemp -d)
trap 'rm -r "$stand_in"' EXIT
cat >"$stand_in/cc" <<'CC'
#!/bin/sh
# Answers what the compiler is; else leaves an empty file where an object is wanted.
case " $* " in *" -E "*) for last; do :; done; exec cc -E "$last" ;; esac
while [ $# -gt 1 ]; do
    if [ "$1" = -o ]; then : >"$2"; fi
    shift
done
CC
cat >"$stand_in/ar" <<'AR'
#!/bin/sh
for file; do
    case $file in *.a) printf '!<arch>\n' >"$file" ;; esac
done
AR
chmod +x "$stand_in/cc" "$stand_in/ar"
CC_aarch64_apple_darwin=$stand_in/cc CXX_aarch64_apple_darwin=$stand_in/cc AR_aarch64_apple_darwin=$stand_in/ar \
    cargo check --locked --quiet -p foldry --target $mac
