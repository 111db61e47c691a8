#!/usr/bin/env bash
# Sets up nvcc and NVRTC from pinned wheels, on a machine without a CUDA toolkit or a GPU.
#   kernels/toolchain.sh FOLDER      makes (or completes) a Python venv there and prints its CUDA_HOME
# Needs python3 with venv, a host C++ compiler for nvcc, and the Python package index.
set -euo pipefail

if [ $# -ne 1 ]; then
    echo "usage: kernels/toolchain.sh FOLDER" >&2
    exit 2
fi
folder=$1
wheels=(
    nvidia-cuda-nvcc==13.0.88
    nvidia-cuda-crt==13.0.88
    nvidia-nvvm==13.0.88
    nvidia-cuda-runtime==13.0.96
    nvidia-cuda-cccl==13.0.85
    nvidia-cuda-nvrtc==13.0.88
)

[ -x "$folder/bin/python" ] || python3 -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check "${wheels[@]}" >&2
home=$("$folder/bin/python" - <<'PYTHON'
import pathlib, nvidia
print(next(str(p / "cu13") for p in map(pathlib.Path, nvidia.__path__) if (p / "cu13").is_dir()))
PYTHON
)
chmod +x "$home"/bin/* "$home"/nvvm/bin/* 2>/dev/null || true
"$home/bin/nvcc" --version | tail -n 2 >&2
echo "$home"
