#!/usr/bin/env python3
"""Compiles every kernel by NVRTC as the program does: its files pasted into one text, no headers.

kernels/nvrtc.py CUDA_HOME [NAME...]    CUDA_HOME as toolchain.sh prints it; no GPU needed
"""

import ctypes
import pathlib
import re
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
HEADERS = ["types", "primitives", "tile", "stream", "attention", "ipa", "backward"]


def text_of(name):
    """The order stands in types.cuh too."""
    files = [HERE / f"{h}.cuh" for h in HEADERS] + [HERE / f"{name}.cu"]
    return re.sub(r'^#include ".*"$', "", "\n".join(f.read_text() for f in files), flags=re.M)


def compile_text(nvrtc, name, arch):
    program = ctypes.c_void_p()
    source = text_of(name).encode()
    check(nvrtc, nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, f"{name}.cu".encode(), 0, None, None))
    options = [f"--gpu-architecture={arch}".encode(), b"--std=c++17"]
    result = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    if result != 0:
        sys.exit(f"ERROR  {name}.cu for {arch}:\n{log.value.decode()}")
    check(nvrtc, nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)))
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return size.value


def check(nvrtc, code):
    if code != 0:
        nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        sys.exit(f"ERROR  nvrtc: {nvrtc.nvrtcGetErrorString(code).decode()}")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    libraries = sorted(pathlib.Path(sys.argv[1]).glob("lib*/libnvrtc.so*"))
    if not libraries:
        sys.exit(f"ERROR  expected libnvrtc.so in {sys.argv[1]}/lib")
    for builtins in libraries[0].parent.glob("libnvrtc-builtins.so.*"):
        ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)  # NVRTC looks for it by name only
    nvrtc = ctypes.CDLL(str(libraries[0]))
    names = sys.argv[2:] or sorted(p.stem for p in HERE.glob("*.cu"))
    for name in names:
        for arch in ["sm_80", "sm_90a"]:
            start = time.monotonic()
            size = compile_text(nvrtc, name, arch)
            print(f"{arch:8} {name:28} {size:9} bytes  {time.monotonic() - start:5.1f} s", flush=True)


main()
