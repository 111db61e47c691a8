#!/usr/bin/env bash
# Builds the cases of this folder for a GPU, as programs that need a driver and nothing else.
#   CUDA_HOME=... tests/kernels/build_gpu.sh OUT_FOLDER [NAME...]      CUDA_HOME as kernels/toolchain.sh prints it
# On the GPU machine: for p in OUT_FOLDER/*; do $p; done
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: tests/kernels/build_gpu.sh OUT_FOLDER [NAME...]}
shift
mkdir -p "$out"
if [ -n "${CUDA_HOME:-}" ]; then PATH=$CUDA_HOME/bin:$PATH; fi
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
    names=(bench layers layers_backward)
    for kernel in "$here"/../../kernels/*.cu; do names+=("$(basename "$kernel" .cu)"); done
fi
libraries=()
for folder in lib lib64; do
    if [ -n "${CUDA_HOME:-}" ] && [ -d "$CUDA_HOME/$folder" ]; then libraries+=("-L$CUDA_HOME/$folder"); fi
done
for name in "${names[@]}"; do
    nvcc -std=c++20 -O3 --expt-relaxed-constexpr -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90a,code=sm_90a \
        -cudart static "${libraries[@]}" -x cu -o "$out/$name" "$here/$name.cpp"
done
