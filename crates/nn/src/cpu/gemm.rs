//! Matrix product C = A·B with B packed: the one hot loop of the network. C is f32; the numbers of B say what
//! A is rounded to.

use super::kernels::{Kernel, Tile, kernel, panel};
use super::number::{Number, pair_up};
use super::packed::{Mat, Packed, Panels, padded};
use super::scratch::scratch;
use super::threads::{SharedMut, for_blocks};

/// Rows of A that pass over B together.
const MC: usize = 96;
/// Depth of one pass: a slice of a panel of 512 × 32 floats stays in the L2 cache, of 16 columns in the L1.
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
    assert!(a.number == Number::F32 || a.number == b.number, "A of bf16 and B of f32");
    assert!(finish.bias.is_empty() || finish.bias.len() == b.n, "bias of the wrong length");
    let depth = b.number.depth(b.k);
    assert!(b.n.next_multiple_of(panel()) * depth <= b.data.len(), "packed columns missing");
    for k0 in (0..depth.max(1)).step_by(KC) {
        let part = Depth { start: k0, len: KC.min(depth - k0), whole: depth };
        // A chunk of A stays in the L2 cache while every panel of B passes over it once.
        for row in (0..m).step_by(MC) {
            let rows = MC.min(m - row);
            let c = &mut c[row * c_stride..];
            match b.number {
                // As stored: a sum of f32, or of pairs of bf16.
                number if number == a.number => {
                    let start = (row * a.stride + k0).min(a.data.len());
                    chunk(&a.data[start..], a.stride, rows, b, part, c, c_stride, finish);
                }
                _ => {
                    let stride = padded(part.len);
                    scratch(rows * stride, |pairs| {
                        for (i, pairs) in pairs.chunks_exact_mut(stride.max(1)).enumerate() {
                            let from = &a.data[(row + i) * a.stride..][2 * k0..b.k.min(2 * (k0 + part.len))];
                            pair_up(from, &mut pairs[..part.len]);
                        }
                        chunk(pairs, stride, rows, b, part, c, c_stride, finish);
                    });
                }
            }
        }
    }
}

/// A part of the sum over k, as stored: pairs of it in bf16.
#[derive(Clone, Copy)]
struct Depth {
    start: usize,
    len: usize,
    whole: usize,
}

/// Adds a part of the sum to some rows of C; `a` begins at their first row and the part's start.
fn chunk(
    a: &[f32],
    a_stride: usize,
    m: usize,
    b: Panels<'_>,
    depth: Depth,
    c: &mut [f32],
    c_stride: usize,
    finish: Finish<'_>,
) {
    let last = depth.start + depth.len == depth.whole;
    let (Kernel { run, rows }, width) = (kernel(b.number), panel());
    // A panel is taken over all rows before the next: as much of B stays in the first-level cache.
    for column in (0..b.n).step_by(width) {
        let bias =
            if last && !finish.bias.is_empty() { finish.bias[column..].as_ptr() } else { std::ptr::null() };
        let start = column * depth.whole + depth.start * width;
        let panel = &b.data[start.min(b.data.len())..]; // a sum over nothing has no panel
        for row in (0..m).step_by(rows) {
            let tile = Tile {
                rows: rows.min(m - row),
                columns: width.min(b.n - column),
                depth: depth.len,
                a: a[(row * a_stride).min(a.len())..].as_ptr(),
                a_stride,
                b: panel.as_ptr(),
                c: c[row * c_stride + column..].as_mut_ptr(),
                c_stride,
                bias,
                relu: last && finish.relu,
                accumulate: finish.accumulate || depth.start > 0,
            };
            // SAFETY: `product` checked that A, B and C have all rows and columns the tile names, and the
            // kernel is one of this machine's.
            unsafe { run(&tile) };
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
    fn bf16_is_exact_for_numbers_it_has() {
        let number = Number::bf16_if_fast();
        for (m, k, n) in [(1, 1, 1), (13, 7, 33), (12, 520, 16), (25, 64, 31), (3, 1031, 70), (200, 5, 9)] {
            // Small whole numbers: every product and sum is exact.
            let whole = |x: Vec<f32>| x.into_iter().map(|v| (v * 8.0).round()).collect::<Vec<f32>>();
            let (a, b) = (whole(noise(m * (k + 3), 1)), whole(noise(k * n, 2)));
            let bt: Vec<f32> = (0..n * k).map(|i| b[(i % k) * n + i / k]).collect();
            let (first, second) = bt.split_at(n / 3 * k);
            for packed in [
                number.pack_kn(&b, k, n),
                number.pack_nk(&bt, k, n),
                number.pack_nk_list(&[first, second], k),
            ] {
                let mut c = vec![0.5; m * n];
                gemm_parallel(Mat::new(&a, k + 3), m, &packed, &mut c, n, Finish::default());
                for (at, got) in c.iter().enumerate() {
                    let want: f32 = (0..k).map(|p| a[at / n * (k + 3) + p] * b[p * n + at % n]).sum();
                    assert_eq!(*got, want, "{m}x{k}x{n} at {at}");
                }
            }
        }
    }
}
