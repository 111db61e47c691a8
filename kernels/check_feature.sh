#!/usr/bin/env bash
# Checks the Rust code of the feature `cuda` (clippy, warnings are errors) without compiling candle's kernels: a stand-in for nvcc writes
# empty files. What it builds cannot be linked. CARGO_TARGET_DIR is honoured; a folder within it is used.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}/cuda-feature
mkdir -p "$target/nvcc/bin"
cat >"$target/nvcc/bin/nvcc" <<'NVCC'
#!/usr/bin/env bash
if [ "${1:-}" = --version ]; then
    printf 'nvcc: NVIDIA (R) Cuda compiler driver\na stand-in\n\nCuda compilation tools, release 13.0, V13.0.0\n'
fi
while [ $# -gt 0 ]; do
    case $1 in
        -o) : >"$2" && shift ;;
        --output-directory) folder=$2 && shift ;;
        *.cu) [ -z "${folder:-}" ] || : >"$folder/$(basename "$1" .cu).ptx" ;;
    esac
    shift
done
NVCC
chmod +x "$target/nvcc/bin/nvcc"
export PATH=$target/nvcc/bin:$PATH CUDA_HOME=$target/nvcc NVCC=$target/nvcc/bin/nvcc CUDA_COMPUTE_CAP=80 CARGO_TARGET_DIR=$target
cd "$root"
cargo clippy --locked -p nn -p fold -p foldry --features foldry/cuda --all-targets -- -D warnings
