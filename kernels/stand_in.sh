#!/usr/bin/env bash
# Puts a stand-in for nvcc into FOLDER/bin and prints what the environment needs for it, for machines without CUDA and for checks that need
# none of candle's kernels, which take 10 CPU minutes: it writes a few bytes where nvcc would write machine code. The fake driver of
# tests/kernels, which finds kernels by name, runs a program built so; a GPU does not.
#   eval "$(kernels/stand_in.sh FOLDER)"
set -euo pipefail

folder=${1:?usage: kernels/stand_in.sh FOLDER}
mkdir -p "$folder/bin" "$folder/lib64"
cat >"$folder/bin/nvcc" <<'NVCC'
#!/usr/bin/env bash
if [ "${1:-}" = --version ]; then
    printf 'nvcc: NVIDIA (R) Cuda compiler driver\na stand-in\n\nCuda compilation tools, release 13.0, V13.0.0\n'
fi
while [ $# -gt 0 ]; do
    case $1 in
        -o)
            case $2 in
                *.a) printf '!<arch>\n' >"$2" ;;
                *) printf 'a stand-in' >"$2" ;;
            esac
            shift ;;
        --output-directory) folder=$2 && shift ;;
        *.cu) [ -z "${folder:-}" ] || printf '// a stand-in\n' >"$folder/$(basename "$1" .cu).ptx" ;;
    esac
    shift
done
NVCC
chmod +x "$folder/bin/nvcc"
printf '!<arch>\n' >"$folder/lib64/libcudart_static.a"
folder=$(cd "$folder" && pwd)
printf 'export PATH=%q:$PATH CUDA_HOME=%q NVCC=%q CUDA_COMPUTE_CAP=80\n' "$folder/bin" "$folder" "$folder/bin/nvcc"
