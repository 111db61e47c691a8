//! f32 matrix product C = A·B with B packed: the one hot loop of the network.

#[cfg(target_arch = "x86_64")]
use super::kernels::x86;
use super::kernels::{Kernel, MR, PLAIN_MR, Tile, plain};
use super::level::{Level, level};
use super::packed::{Mat, NR, Packed, Panels};
use super::threads::{SharedMut, for_blocks};

/// Rows of A that pass over B together.
const MC: usize = 96;
/// Depth of one pass: a panel slice of 512 × 32 floats stays in the L2 cache.
const KC: usize = 512;

/// What happens to a finished element of C.
#[derive(Clone, Copy, Default)]
pub struct Finish<'a> {
    /// Added to each row; empty for none.
    pub bias: &'a [f32],
    /// max(·, 0) after the bias.
    pub relu: bool,
    /// Add to what C holds.
    pub accumulate: bool,
}

/// C[0..m, 0..n] = A[0..m, 0..k]·B on this thread; rows of C start every `c_stride` elements of `c`.
///
/// # Panics  if A or C are too small.
pub fn gemm<'b>(
    a: Mat<'_>,
    m: usize,
    b: impl Into<Panels<'b>>,
    c: &mut [f32],
    c_stride: usize,
    finish: Finish<'_>,
) {
    product(a, m, b.into(), c, c_stride, finish);
}

fn product(a: Mat<'_>, m: usize, b: Panels<'_>, c: &mut [f32], c_stride: usize, finish: Finish<'_>) {
    a.check(m, b.k);
    Mat::new(c, c_stride).check(m, b.n);
    assert!(finish.bias.is_empty() || finish.bias.len() == b.n, "bias of the wrong length");
    let kernel: Kernel = match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => x86::avx512,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => x86::avx2,
        _ => plain,
    };
    let rows = if level() == Level::Avx512 { MR } else { PLAIN_MR };
    assert!(b.n.div_ceil(NR) * NR * b.k <= b.data.len(), "packed columns missing");
    for k0 in (0..b.k.max(1)).step_by(KC) {
        let depth = KC.min(b.k - k0);
        let last = k0 + depth == b.k;
        // A chunk of A stays in the L2 cache while every panel of B passes over it once.
        let tiles = (0..m).step_by(MC).flat_map(|chunk| {
            let end = m.min(chunk + MC);
            (0..b.n.div_ceil(NR))
                .flat_map(move |panel| (chunk..end).step_by(rows).map(move |row| (panel, row, end)))
        });
        for (panel, row, end) in tiles {
            let columns = NR.min(b.n - panel * NR);
            let bias = if last && !finish.bias.is_empty() {
                finish.bias[panel * NR..].as_ptr()
            } else {
                std::ptr::null()
            };
            let tile = Tile {
                rows: rows.min(end - row),
                columns,
                depth,
                a: a.data[(row * a.stride + k0).min(a.data.len())..].as_ptr(),
                a_stride: a.stride,
                b: b.data[(panel * b.k + k0) * NR..].as_ptr(),
                c: c[row * c_stride + panel * NR..].as_mut_ptr(),
                c_stride,
                bias,
                relu: last && finish.relu,
                accumulate: finish.accumulate || k0 > 0,
            };
            // SAFETY: the checks above cover all rows and columns of A, B and C that the tile names,
            // and the kernel is of a level this machine has.
            unsafe { kernel(&tile) };
        }
    }
}

/// As [`gemm`], rows over all threads.
pub fn gemm_parallel(a: Mat<'_>, m: usize, b: &Packed, c: &mut [f32], c_stride: usize, finish: Finish<'_>) {
    a.check(m, b.k());
    Mat::new(c, c_stride).check(m, b.n());
    if m == 0 || b.n() == 0 {
        return;
    }
    let shared = SharedMut::new(c);
    for_blocks(m, 2 * MC, |row, rows| {
        let len = (rows - 1) * c_stride + b.n();
        // SAFETY: blocks of rows are disjoint while b.n ≤ c_stride.
        let c = unsafe { shared.range(row * c_stride, len) };
        gemm(a.from_row(row), rows, b, c, c_stride, finish);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize, seed: u32) -> Vec<f32> {
        let mut s = seed;
        (0..n)
            .map(|_| {
                s = s.wrapping_mul(1664525).wrapping_add(1013904223);
                (s >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    #[test]
    fn agrees_with_f64_at_odd_sizes() {
        for (m, k, n) in [(1, 1, 1), (13, 7, 33), (12, 520, 16), (25, 64, 31), (3, 1030, 70), (200, 5, 9)] {
            let (a, b) = (noise(m * (k + 3), 1), noise(k * n, 2));
            let bias = noise(n, 3);
            let bt: Vec<f32> = (0..n * k).map(|i| b[(i % k) * n + i / k]).collect();
            for packed in [Packed::from_kn(&b, k, n), Packed::from_nk(&bt, k, n)] {
                let stride = n + 2;
                let mut c = vec![0.25; m * stride];
                let finish = Finish { bias: &bias, relu: true, accumulate: true };
                gemm_parallel(Mat::new(&a, k + 3), m, &packed, &mut c, stride, finish);
                for i in 0..m {
                    for j in 0..n {
                        let want: f64 = (0..k).map(|p| a[i * (k + 3) + p] as f64 * b[p * n + j] as f64).sum();
                        let want = (want + 0.25 + bias[j] as f64).max(0.0);
                        let got = c[i * stride + j] as f64;
                        assert!((got - want).abs() < 1e-4, "{m}x{k}x{n} at {i},{j}: {got} {want}");
                    }
                    // The gap between rows is left alone.
                    assert!(i + 1 == m || c[i * stride + n..(i + 1) * stride].iter().all(|&v| v == 0.25));
                }
            }
        }
    }

    #[test]
    fn portable_kernels_agree() {
        let (m, k, n) = (3, 29, 31);
        let (a, b) = (noise(m * k, 5), noise(k * n, 6));
        let packed = Packed::from_kn(&b, k, n);
        let run = |kernel: Kernel| {
            let mut c = vec![0.0; m * n];
            let tile = Tile {
                rows: m,
                columns: n,
                depth: k,
                a: a.as_ptr(),
                a_stride: k,
                b: packed.data.as_ptr(),
                c: c.as_mut_ptr(),
                c_stride: n,
                bias: std::ptr::null(),
                relu: false,
                accumulate: false,
            };
            // SAFETY: the tile covers exactly these buffers; plain code runs everywhere.
            unsafe { kernel(&tile) };
            c
        };
        let mut best = vec![0.0; m * n];
        gemm(Mat::new(&a, k), m, &packed, &mut best, n, Finish::default());
        for (x, y) in run(plain).iter().zip(&best) {
            assert!((x - y).abs() < 1e-5);
        }
    }
}
