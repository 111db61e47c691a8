//! A machine whose kernels run in the emulator, thread by thread, and whose matrix products are plain sums.

use candle_core::{Result, Tensor};
use nn::cuda::{Factor, Keep, Launch, Machine, Memory, Precision, Products};
use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_char, c_int, c_long, c_void};

type LaunchFn = unsafe extern "C" fn(*const c_char, c_long, c_int, usize, c_int, *const u8, usize) -> c_int;

/// The emulator's library and a machine with `processors` and `shared` bytes a block.
pub struct Emulator {
    launch: LaunchFn,
    memory: unsafe extern "C" fn(usize) -> *mut c_void,
    data: unsafe extern "C" fn(*mut c_void) -> *mut u8,
    free: unsafe extern "C" fn(*mut c_void) -> c_int,
    precision: Precision,
    shared: usize,
    pub schedule: Cell<c_int>,
    pub launched: RefCell<Vec<String>>,
    /// See [`Machine::part`].
    pub part: usize,
    /// See [`Machine::room`].
    pub room: usize,
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
    pub fn new(precision: Precision, shared: usize) -> Self {
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
                part: 32 << 20,
                room: usize::MAX,
                inputs: RefCell::default(),
            }
        }
    }

    /// Memory with these bytes.
    pub fn filled(&self, bytes: &[u8]) -> Memory {
        let memory = self.memory(bytes.len()).unwrap();
        // SAFETY: memory of this size.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.address as *mut u8, bytes.len()) };
        memory
    }
}

/// Element `i` of values at `address`.
pub fn read(address: u64, precision: Precision, i: usize) -> f64 {
    // SAFETY: the operation under test says that it is there; else the guard page ends the program.
    unsafe {
        match precision {
            Precision::F32 => f64::from(*(address as *const f32).add(i)),
            Precision::Bf16 => f64::from(f32::from_bits(u32::from(*(address as *const u16).add(i)) << 16)),
        }
    }
}

/// Ties to even.
fn bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// All values of a tensor.
pub fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// Numbers as they lie in memory.
pub fn bytes(v: &[f32]) -> Vec<u8> {
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

    fn packed(&self, tensors: &[&Tensor], precision: Precision, _: Keep) -> Result<Memory> {
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

    fn part(&self) -> usize {
        self.part
    }

    fn room(&self) -> usize {
        self.room
    }

    unsafe fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<()> {
        self.launched.borrow_mut().push("copy".into());
        // SAFETY: as on a GPU.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, bytes) };
        Ok(())
    }

    fn blocks(&self, launch: &Launch) -> Result<usize> {
        // Two at a time on each processor.
        Ok(if launch.turns { launch.blocks.min(6) } else { launch.blocks })
    }

    unsafe fn launch(&self, launch: &Launch, arguments: *const u8, size: usize) -> Result<()> {
        self.launched.borrow_mut().push(launch.kernel.clone());
        let name = CString::new(launch.kernel.as_str()).unwrap();
        let blocks = self.blocks(launch)?;
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
        self.launched.borrow_mut().push("products".into());
        let at = |f: &Factor, e: usize, i: usize, k: usize| {
            let at = e * f.step + if f.by_columns { k * f.row + i } else { i * f.row + k };
            read(f.address, p.precision, at)
        };
        for (e, i, j) in
            (0..p.batch).flat_map(|e| (0..p.m).flat_map(move |i| (0..p.n).map(move |j| (e, i, j))))
        {
            let sum: f64 = (0..p.k).map(|k| at(&p.a, e, i, k) * at(&p.b, e, j, k)).sum();
            let to = e * p.out.step + i * p.out.row + j;
            let before = if p.out.add { read(p.out.address, p.out.precision, to) } else { 0.0 };
            let sum = (f64::from(p.scale) * sum + before) as f32;
            // SAFETY: as on a GPU.
            unsafe {
                match p.out.precision {
                    Precision::F32 => *(p.out.address as *mut f32).add(to) = sum,
                    Precision::Bf16 => *(p.out.address as *mut u16).add(to) = bf16(sum),
                }
            }
        }
        Ok(())
    }
}
