//! Operations as they run on a GPU — arguments, launches, memory, matrix products — with the kernels run on the CPU by the
//! emulator of `tests/kernels`, against their references. `tests/kernels/run.sh` builds the library and runs this.

use candle_core::{Device, Result, Tensor};
use nn::cuda::{Launch, Machine, Memory, Precision, Products};
use nn::ops::{
    self, AttentionWeights, Edges, GlobalAttentionWeights, Orientation, OuterProductWeights,
    TransitionWeights, TriangleWeights,
};
use nn::{Params, Update};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ffi::{CString, c_char, c_int, c_long, c_void};

type LaunchFn = unsafe extern "C" fn(*const c_char, c_long, c_int, usize, c_int, *const u8, usize) -> c_int;

/// The emulator's library and a machine with `processors` and `shared` bytes a block.
struct Emulator {
    launch: LaunchFn,
    memory: unsafe extern "C" fn(usize) -> *mut c_void,
    data: unsafe extern "C" fn(*mut c_void) -> *mut u8,
    free: unsafe extern "C" fn(*mut c_void) -> c_int,
    precision: Precision,
    shared: usize,
    schedule: Cell<c_int>,
    launched: RefCell<BTreeSet<String>>,
    inputs: RefCell<Vec<Memory>>,
}

/// Guarded memory of the emulator's.
struct Guarded {
    memory: *mut c_void,
    free: unsafe extern "C" fn(*mut c_void) -> c_int,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: freed once.
        assert_eq!(unsafe { (self.free)(self.memory) }, 1, "wrote beside its memory");
    }
}

impl Emulator {
    fn new(precision: Precision, shared: usize) -> Self {
        let path = std::env::var("FOLDRY_EMULATOR")
            .expect("FOLDRY_EMULATOR names the library: tests/kernels/run.sh");
        let path = CString::new(path).unwrap();
        // SAFETY: the library's functions have these types.
        unsafe {
            let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
            assert!(!library.is_null(), "cannot open {path:?}");
            let find = |name: &std::ffi::CStr| {
                let address = libc::dlsym(library, name.as_ptr());
                assert!(!address.is_null(), "no {name:?}");
                address
            };
            Self {
                launch: std::mem::transmute::<*mut c_void, LaunchFn>(find(c"foldry_launch")),
                memory: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(usize) -> *mut c_void>(find(
                    c"foldry_memory",
                )),
                data: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void) -> *mut u8>(find(
                    c"foldry_data",
                )),
                free: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void) -> c_int>(find(
                    c"foldry_free",
                )),
                precision,
                shared,
                schedule: Cell::new(0),
                launched: RefCell::default(),
                inputs: RefCell::default(),
            }
        }
    }

    fn filled(&self, bytes: &[u8]) -> Memory {
        let memory = self.memory(bytes.len()).unwrap();
        // SAFETY: memory of this size.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.address as *mut u8, bytes.len()) };
        memory
    }

    /// Element `i` of values at `address`.
    fn value(&self, address: u64, i: usize) -> f64 {
        // SAFETY: the operation under test says that it is there; else the guard page ends the program.
        unsafe {
            match self.precision {
                Precision::F32 => f64::from(*(address as *const f32).add(i)),
                Precision::Bf16 => {
                    f64::from(f32::from_bits(u32::from(*(address as *const u16).add(i)) << 16))
                }
            }
        }
    }
}

/// Ties to even.
fn bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn bytes(v: &[f32]) -> Vec<u8> {
    v.iter().flat_map(|x| x.to_ne_bytes()).collect()
}

impl Machine for Emulator {
    fn precision(&self) -> Precision {
        self.precision
    }

    fn processors(&self) -> usize {
        3
    }

    fn shared(&self) -> usize {
        self.shared
    }

    fn memory(&self, bytes: usize) -> Result<Memory> {
        // SAFETY: the library's functions.
        unsafe {
            let memory = (self.memory)(bytes);
            Ok(Memory::new((self.data)(memory) as u64, Guarded { memory, free: self.free }))
        }
    }

    /// A copy in guarded memory, so that reading beyond it is seen.
    fn address(&self, t: &Tensor) -> Result<u64> {
        let copy = self.filled(&bytes(&values(t)));
        let address = copy.address;
        self.inputs.borrow_mut().push(copy);
        Ok(address)
    }

    fn packed(&self, tensors: &[&Tensor], precision: Precision, _: bool) -> Result<Memory> {
        let all: Vec<f32> = tensors.iter().flat_map(|t| values(t)).collect();
        Ok(match precision {
            Precision::F32 => self.filled(&bytes(&all)),
            Precision::Bf16 => {
                self.filled(&all.iter().flat_map(|&x| bf16(x).to_ne_bytes()).collect::<Vec<u8>>())
            }
        })
    }

    fn derived(&self, _: &Tensor, bytes: usize, make: &mut dyn FnMut(u64) -> Result<()>) -> Result<Memory> {
        let memory = self.memory(bytes)?;
        make(memory.address)?;
        Ok(memory)
    }

    unsafe fn launch(&self, launch: &Launch, arguments: *const u8, size: usize) -> Result<()> {
        self.launched.borrow_mut().insert(launch.kernel.clone());
        let name = CString::new(launch.kernel.as_str()).unwrap();
        // Two at a time on each processor.
        let blocks = if launch.turns { launch.blocks.min(6) } else { launch.blocks };
        assert!(launch.shared <= self.shared, "{}: {} bytes", launch.kernel, launch.shared);
        let (blocks, threads) = (blocks as c_long, launch.threads as c_int);
        // SAFETY: as on a GPU.
        let code = unsafe {
            (self.launch)(name.as_ptr(), blocks, threads, launch.shared, self.schedule.get(), arguments, size)
        };
        assert_eq!(
            code,
            0,
            "{}: {}",
            launch.kernel,
            ["", "no such kernel", "arguments of another size"][code as usize]
        );
        Ok(())
    }

    unsafe fn products(&self, p: &Products) -> Result<()> {
        for e in 0..p.batch {
            for i in 0..p.m {
                for j in 0..p.n {
                    let sum: f64 = (0..p.k)
                        .map(|k| {
                            let at = |row: usize, x: (u64, usize, usize)| {
                                e * x.2 + if p.by_columns { k * x.1 + row } else { row * x.1 + k }
                            };
                            self.value(p.a.0, at(i, p.a)) * self.value(p.b.0, at(j, p.b))
                        })
                        .sum();
                    let to = e * p.out.2 + i * p.out.1 + j;
                    // SAFETY: as on a GPU.
                    unsafe {
                        match self.precision {
                            Precision::F32 => *(p.out.0 as *mut f32).add(to) = sum as f32,
                            Precision::Bf16 => *(p.out.0 as *mut u16).add(to) = bf16(sum as f32),
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// sm_80 and sm_90a.
const SHARED: [usize; 2] = [163 * 1024, 227 * 1024];

/// Made-up tensors by name.
struct Made(Params);

impl Made {
    fn get(&self, name: &str, shape: &[usize]) -> Tensor {
        self.0.get(name, shape).unwrap()
    }

    fn mask(&self, a: usize, b: usize) -> Tensor {
        let noise = self.get("mask.matrix", &[a, b]);
        noise.ge(-0.5 / (b as f64).sqrt()).unwrap().to_dtype(candle_core::DType::F32).unwrap()
    }
}

/// On every machine: as a new tensor, and added to what is there (the first input, if it may be); every kernel's threads in
/// several orders. `kernels` are those that must have been launched, without their types.
fn check(name: &str, update: &Update, onto: &Tensor, aliased: bool, kernels: &[&str]) {
    let reference = values(&update.reference().unwrap());
    assert_eq!(reference.len(), onto.elem_count(), "{name}");
    // bf16: inputs of every product, weights among them, are off by 2^-9 at most.
    for (precision, bound) in [(Precision::F32, 2e-5), (Precision::Bf16, 1e-2)] {
        for (case, shared) in SHARED.into_iter().enumerate() {
            let adds = case == 1;
            let machine = Emulator::new(precision, shared);
            machine.schedule.set(case as c_int);
            let before = if adds { values(onto) } else { vec![f32::NAN; onto.elem_count()] };
            let out = machine.filled(&bytes(&before));
            let done = update.launch(&machine, out.address, adds, adds && aliased).unwrap();
            assert!(done, "{name} {precision:?}: refused with {shared} bytes");
            let launched = machine.launched.borrow();
            for kernel in kernels {
                assert!(
                    launched.iter().any(|k| k.starts_with(kernel)),
                    "{name}: no {kernel} in {launched:?}"
                );
            }
            // SAFETY: f32 values that were all written, or are compared as what they are.
            let got = unsafe { std::slice::from_raw_parts(out.address as *const f32, before.len()) };
            let (mut difference, mut norm) = (0.0, 0.0);
            for (i, want) in reference.iter().enumerate() {
                let added = if adds { before[i] } else { 0.0 };
                difference += (f64::from(got[i]) - f64::from(added) - f64::from(*want)).powi(2);
                norm += f64::from(*want).powi(2);
            }
            let error = (difference / norm).sqrt();
            println!("{name:<40} {precision:?} onto {adds:<5} error {error:.1e}");
            assert!(error < bound, "{name} {precision:?} adds {adds}: error {error:e}, bound {bound:e}");
        }
    }
}

fn made(seed: u64) -> Made {
    Made(Params::made_up(seed, &Device::Cpu))
}

fn attention(n0: usize, n1: usize, c: usize, heads: usize, d: usize, biased: bool, orientation: Orientation) {
    let m = made(1);
    let hd = heads * d;
    let x = m.get("x.matrix", &[n0, n1, c]);
    let n = if orientation == Orientation::PerRow { n1 } else { n0 };
    let bias = biased.then(|| (m.get("bias.matrix", &[heads, n, n]) * 2.0).unwrap());
    let (norm, mask) = ((m.get("n.weight", &[c]), m.get("n.bias", &[c])), m.mask(n0, n1));
    let w = |name: &str, o: usize, i: usize| m.get(&format!("{name}.matrix"), &[o, i]);
    let (q, k, v, g, o) = (w("q", hd, c), w("k", hd, c), w("v", hd, c), w("g", hd, c), w("o", c, hd));
    let (bg, bo) = (m.get("g.bias", &[hd]), m.get("o.bias", &[c]));
    let weights =
        AttentionWeights { norm: (&norm.0, &norm.1), qkv: (&q, &k, &v), gate: (&g, &bg), out: (&o, &bo) };
    let update = ops::attention(&x, &mask, bias.as_ref(), &weights, heads, orientation);
    let name = format!("attention {n0}x{n1} c {c} {heads}x{d} {orientation:?} bias {biased}");
    let mut kernels = vec!["layer_norm_project", "attention_", "gate_output"];
    kernels.extend(biased.then_some("pad_rows"));
    check(&name, &update, &x, true, &kernels);
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn attentions() {
    use Orientation::{PerColumn, PerRow};
    attention(17, 33, 24, 3, 8, true, PerRow);
    attention(33, 18, 40, 2, 16, true, PerColumn);
    attention(66, 5, 16, 1, 32, false, PerColumn);
    attention(3, 67, 72, 2, 64, true, PerRow);
    attention(1, 1, 8, 1, 8, true, PerRow);
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn global_attentions() {
    for (s, r, c, heads, d) in [(37, 5, 24, 3, 8), (6, 18, 64, 2, 32), (1, 1, 8, 1, 8)] {
        let m = made(7);
        let (x, mask, hd) = (m.get("x.matrix", &[s, r, c]), m.mask(s, r), heads * d);
        let (scale, offset) = (m.get("n.weight", &[c]), m.get("n.bias", &[c]));
        let w = |name: &str, o: usize, i: usize| m.get(&format!("{name}.matrix"), &[o, i]);
        let (q, k, v, g, o) = (w("q", hd, c), w("k", d, c), w("v", d, c), w("g", hd, c), w("o", c, hd));
        let (bg, bo) = (m.get("g.bias", &[hd]), m.get("o.bias", &[c]));
        let w = GlobalAttentionWeights {
            norm: (&scale, &offset),
            qkv: (&q, &k, &v),
            gate: (&g, &bg),
            out: (&o, &bo),
        };
        let name = format!("global attention {s}x{r} c {c} {heads}x{d}");
        let kernels = ["layer_norm_project", "global_attention", "gate_output"];
        check(&name, &ops::global_attention(&x, &mask, &w, heads), &x, true, &kernels);
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn pair_bias() {
    for (n, c, heads, swapped) in [(17, 24, 3, false), (18, 40, 8, true), (1, 16, 8, false)] {
        let m = made(2);
        let (z, w) = (m.get("z.matrix", &[n, n, c]), m.get("w.matrix", &[heads, c]));
        let (scale, offset) = (m.get("n.weight", &[c]), m.get("n.bias", &[c]));
        let update = ops::pair_bias_update(&z, (&scale, &offset), &w, swapped);
        let reference = values(&update.reference().unwrap());
        for (precision, bound) in [(Precision::F32, 2e-5), (Precision::Bf16, 1e-2)] {
            let machine = Emulator::new(precision, SHARED[0]);
            let out = machine.memory(4 * reference.len()).unwrap();
            assert!(update.launch(&machine, out.address, false, false).unwrap());
            assert!(!update.launch(&machine, out.address, true, false).unwrap(), "there is no sum");
            // SAFETY: f32 values, all written.
            let got = unsafe { std::slice::from_raw_parts(out.address as *const f32, reference.len()) };
            let sum = |f: &dyn Fn(usize) -> f64| (0..reference.len()).map(|i| f(i).powi(2)).sum::<f64>();
            let difference = sum(&|i| f64::from(got[i]) - f64::from(reference[i]));
            let error = (difference / sum(&|i| f64::from(reference[i]))).sqrt();
            assert!(error < bound, "n {n} swapped {swapped} {precision:?}: {error:e}");
        }
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn transitions() {
    for (rows, c, w) in [([5, 7], 24, 72), ([33, 3], 128, 512), ([2, 9], 136, 40), ([1, 1], 8, 8)] {
        let m = made(3);
        let x = m.get("x.matrix", &[rows[0], rows[1], c]);
        let (scale, offset) = (m.get("n.weight", &[c]), m.get("n.bias", &[c]));
        let (widen, narrow) = (m.get("w.matrix", &[w, c]), m.get("v.matrix", &[c, w]));
        let (b1, b2) = (m.get("w.bias", &[w]), m.get("v.bias", &[c]));
        let w = TransitionWeights { norm: (&scale, &offset), widen: (&widen, &b1), narrow: (&narrow, &b2) };
        check(&format!("transition {rows:?} c {c}"), &ops::transition(&x, &w), &x, true, &["transition_f32"]);
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn triangle_multiplications() {
    for (r, cz, c) in [(17, 24, 40), (34, 40, 24), (1, 8, 16)] {
        for edges in [Edges::Outgoing, Edges::Incoming] {
            let m = made(4);
            let (z, mask) = (m.get("z.matrix", &[r, r, cz]), m.mask(r, r));
            let pair = |name: &str, o: usize, i: usize| {
                (m.get(&format!("{name}.matrix"), &[o, i]), m.get(&format!("{name}.bias"), &[o]))
            };
            let norm = |name: &str, c: usize| {
                (m.get(&format!("{name}.weight"), &[c]), m.get(&format!("{name}.bias"), &[c]))
            };
            let (norm_in, norm_out) = (norm("in", cz), norm("out", c));
            let (a, ag, b, bg) = (pair("a", c, cz), pair("ag", c, cz), pair("b", c, cz), pair("bg", c, cz));
            let (out, gate) = (pair("o", cz, c), pair("g", cz, cz));
            fn both(p: &(Tensor, Tensor)) -> (&Tensor, &Tensor) {
                (&p.0, &p.1)
            }
            let w = TriangleWeights {
                norm_in: both(&norm_in),
                a: [both(&a), both(&ag)],
                b: [both(&b), both(&bg)],
                norm_out: both(&norm_out),
                out: both(&out),
                gate: both(&gate),
            };
            let update = ops::triangle_multiplication(&z, &mask, &w, edges);
            let name = format!("triangle {r} cz {cz} c {c} {edges:?}");
            check(&name, &update, &z, true, &["triangle_project", "triangle_output"]);
        }
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn outer_product_means() {
    for (s, r, c, e, cz) in [(7, 17, 24, 8, 40), (33, 5, 40, 16, 136), (1, 1, 8, 8, 8)] {
        let m = made(5);
        let (x, z) = (m.get("m.matrix", &[s, r, c]), m.get("z.matrix", &[r, r, cz]));
        // All present: pairs that share no sequence have updates a thousand times the others'.
        let mask = Tensor::ones((s, r), candle_core::DType::F32, &Device::Cpu).unwrap();
        let (scale, offset) = (m.get("n.weight", &[c]), m.get("n.bias", &[c]));
        let (a, b) = (m.get("a.matrix", &[e, c]), m.get("b.matrix", &[e, c]));
        let (ba, bb) = (m.get("a.bias", &[e]), m.get("b.bias", &[e]));
        let (o, bo) = (m.get("o.matrix", &[cz, e * e]), m.get("o.bias", &[cz]));
        let w = OuterProductWeights { norm: (&scale, &offset), a: (&a, &ba), b: (&b, &bb), out: (&o, &bo) };
        let name = format!("outer product {s}x{r} c {c} e {e} cz {cz}");
        check(
            &name,
            &ops::outer_product_mean(&x, &mask, &w),
            &z,
            false,
            &["pair_counts", "outer_product_project"],
        );
    }
}

/// Sizes that no kernel takes are refused before anything is launched.
#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn other_sizes_are_refused() {
    for (c, w) in [(12, 24), (264, 8), (16, 20)] {
        let m = made(6);
        let x = m.get("x.matrix", &[2, 3, c]);
        let (scale, offset) = (m.get("n.weight", &[c]), m.get("n.bias", &[c]));
        let (widen, narrow) = (m.get("w.matrix", &[w, c]), m.get("v.matrix", &[c, w]));
        let (b1, b2) = (m.get("w.bias", &[w]), m.get("v.bias", &[c]));
        let w = TransitionWeights { norm: (&scale, &offset), widen: (&widen, &b1), narrow: (&narrow, &b2) };
        let machine = Emulator::new(Precision::Bf16, SHARED[1]);
        let out = machine.filled(&bytes(&values(&x)));
        assert!(!ops::transition(&x, &w).launch(&machine, out.address, true, true).unwrap(), "c {c}");
        assert!(machine.launched.borrow().is_empty());
    }
}
