//! With the feature `cuda`: our kernels as fat binaries, and stand-ins for CUDA's libraries.
//!
//! candle links the driver, cuBLAS, cuRAND and CUDA's runtime by name, and a program linked so does not start where they are missing.
//! The stand-ins have the functions of `src/cuda/libraries.txt`; each opens the real library when it is first called, so that one
//! program serves machines with and without a GPU. They are made for x86-64 Linux; elsewhere the real libraries are linked.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files of `kernels/` that operations launch: those of `src/cuda/source.rs`.
const KERNELS: [&str; 23] = [
    "attention",
    "attention_backward",
    "expectations",
    "frames",
    "gate_output",
    "gate_output_backward",
    "global_attention",
    "global_attention_backward",
    "ipa",
    "ipa_backward",
    "ipa_frames",
    "layer_norm",
    "layer_norm_project",
    "layer_norm_project_backward",
    "linear",
    "outer_product_mean",
    "outer_product_mean_backward",
    "pad_rows",
    "sums",
    "transition",
    "transition_backward",
    "triangle_multiplication",
    "triangle_multiplication_backward",
];

/// Machine code for sm_80 and sm_90a, and code that later GPUs compile.
const TARGETS: [&str; 3] =
    ["arch=compute_80,code=sm_80", "arch=compute_90a,code=sm_90a", "arch=compute_90,code=compute_90"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fat_binaries(&out);
    let target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("OS") == "linux" && target("ARCH") == "x86_64" {
        stand_ins(&out.join("stand-ins"));
    }
}

/// `fatbins.rs`: the name and the bytes of each file; empty if there is no nvcc, and kernels are compiled when first used.
fn fat_binaries(out: &Path) {
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels");
    println!("cargo::rerun-if-changed={}", kernels.display());
    println!("cargo::rerun-if-env-changed=CUDA_HOME");
    println!("cargo::rerun-if-env-changed=NVCC");
    let nvcc = env::var_os("NVCC").map(PathBuf::from).or_else(|| {
        let home = env::var_os("CUDA_HOME").map(|home| Path::new(&home).join("bin/nvcc"));
        home.filter(|nvcc| nvcc.exists())
    });
    let nvcc = nvcc.unwrap_or_else(|| "nvcc".into());
    let found = Command::new(&nvcc).arg("--version").output().is_ok_and(|output| output.status.success());
    let mut list = String::from("&[\n");
    for name in KERNELS.iter().filter(|_| found) {
        let to = out.join(format!("{name}.fatbin"));
        let mut command = Command::new(&nvcc);
        command.args(["-std=c++17", "-O3", "-fatbin"]);
        command.args(TARGETS.iter().flat_map(|target| ["-gencode", target]));
        command.arg("-o").arg(&to).arg(kernels.join(format!("{name}.cu")));
        run(&mut command);
        // A stand-in for nvcc, with which only types are checked, makes empty files.
        if fs::metadata(&to).is_ok_and(|file| file.len() > 0) {
            writeln!(list, "({name:?}, include_bytes!({to:?})),").expect("to a string");
        }
    }
    list.push(']');
    fs::write(out.join("fatbins.rs"), list).expect("OUT_DIR can be written");
}

/// An archive for each library, and CUDA's own static runtime under the name by which candle links it.
fn stand_ins(folder: &Path) {
    let path = "src/cuda/libraries.txt";
    println!("cargo::rerun-if-changed={path}");
    fs::create_dir_all(folder).expect("OUT_DIR can be written");
    let text = fs::read_to_string(path).expect("a list of libraries");
    let mut name = "";
    let mut functions: Vec<&str> = Vec::new();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines.chain(["end:"]) {
        match line.strip_suffix(':') {
            None => functions.push(line.trim()),
            Some(next) => {
                if !name.is_empty() {
                    archive(folder, name, &functions);
                }
                functions.clear();
                name = next;
            }
        }
    }
    let homes = ["CUDA_HOME", "CUDA_PATH"].iter().filter_map(env::var_os).map(PathBuf::from);
    let places =
        homes.chain(["/usr/local/cuda".into()]).flat_map(|home| [home.join("lib64"), home.join("lib")]);
    if let Some(runtime) = places.map(|p| p.join("libcudart_static.a")).find(|file| file.exists()) {
        fs::copy(runtime, folder.join("libcudart.a")).expect("OUT_DIR can be written");
    }
    println!("cargo::rustc-link-search=native={}", folder.display());
}

/// `libX.a` of a library whose file is `libX.so.V`.
fn archive(folder: &Path, file: &str, functions: &[&str]) {
    let stem = file.split('.').next().expect("not empty");
    let source = folder.join(format!("{stem}.s"));
    fs::write(&source, assembly(file, functions)).expect("OUT_DIR can be written");
    let (object, archive) = (folder.join(format!("{stem}.o")), folder.join(format!("{stem}.a")));
    let _ = fs::remove_file(&archive);
    let tool = |name: &str, default: &str| env::var_os(name).unwrap_or_else(|| default.into());
    run(Command::new(tool("CC", "cc")).arg("-c").arg("-o").arg(&object).arg(&source));
    run(Command::new(tool("AR", "ar")).arg("crs").arg(&archive).arg(&object));
}

/// Each function jumps where its slot says: first to code that asks `foldry_cuda_function` (in `src/cuda/stand_in.rs`) for the real
/// function's address, with all registers that may hold arguments saved, and puts it into the slot.
fn assembly(file: &str, functions: &[&str]) -> String {
    let mut text = String::from(".text\n");
    let mut slots = String::from(".data\n.balign 8\nslots:\n");
    let mut names = String::from("names:\n");
    let mut strings = String::from(".section .rodata\n");
    writeln!(strings, "library: .asciz {file:?}").expect("to a string");
    for (i, function) in functions.iter().enumerate() {
        write!(
            text,
            ".globl {function}\n.hidden {function}\n.type {function},@function\n\
             {function}:\n    jmp *(slots + 8 * {i})(%rip)\nfirst_{i}:\n    pushq ${i}\n    jmp find\n"
        )
        .expect("to a string");
        writeln!(slots, "    .quad first_{i}").expect("to a string");
        writeln!(names, "    .quad name_{i}").expect("to a string");
        writeln!(strings, "name_{i}: .asciz {function:?}").expect("to a string");
    }
    let integers = ["rax", "rdi", "rsi", "rdx", "rcx", "r8", "r9"];
    text.push_str("find:\n");
    for register in integers {
        writeln!(text, "    pushq %{register}").expect("to a string");
    }
    // 136 bytes: eight vectors, and the stack is aligned to 16 at the call.
    text.push_str("    subq $136, %rsp\n");
    for i in 0..8 {
        writeln!(text, "    movups %xmm{i}, {}(%rsp)", 16 * i).expect("to a string");
    }
    let index = 136 + 8 * integers.len();
    write!(
        text,
        "    movq {index}(%rsp), %rax\n    leaq names(%rip), %rsi\n    movq (%rsi,%rax,8), %rsi\n    \
         leaq library(%rip), %rdi\n    call foldry_cuda_function@PLT\n    movq %rax, %r11\n    \
         movq {index}(%rsp), %rax\n    leaq slots(%rip), %rcx\n    movq %r11, (%rcx,%rax,8)\n"
    )
    .expect("to a string");
    for i in 0..8 {
        writeln!(text, "    movups {}(%rsp), %xmm{i}", 16 * i).expect("to a string");
    }
    text.push_str("    addq $136, %rsp\n");
    for register in integers.iter().rev() {
        writeln!(text, "    popq %{register}").expect("to a string");
    }
    text.push_str("    addq $8, %rsp\n    jmp *%r11\n");
    format!("{text}{slots}{names}{strings}.section .note.GNU-stack,\"\",@progbits\n")
}

/// # Panics  if the program fails: a build script has no other way to end.
fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(status.success(), "{command:?}: {status}");
}
