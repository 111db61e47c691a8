//! Sums over many rows, such as gradients of weights, that do not depend on the number of threads: the
//! rows are cut into a fixed number of parts, each part is summed by one thread, the parts are added in
//! order.

use super::gemm::{Finish, gemm};
use super::packed::{Mat, Packed, padded};
use super::scratch::scratch;
use super::threads::{SharedMut, for_blocks};
use super::transpose::transpose;

/// Parts of a sum. More of them would employ more threads and take more memory.
const PARTS: usize = 16;
/// Elements one thread adds over the parts at a time.
const BLOCK: usize = 1 << 12;

/// Calls `f(start, len, sum)` for consecutive blocks of `0..total`; what it adds to `sum`, as long as `sums`,
/// is added up over all blocks and put into `sums`.
pub fn sum_parts(
    total: usize,
    block: usize,
    sums: &mut [f32],
    f: impl Fn(usize, usize, &mut [f32]) + Sync + Send,
) {
    let block = block.max(1);
    let blocks = total.div_ceil(block);
    let parts = PARTS.min(blocks);
    let len = sums.len();
    scratch(parts * len, |partial| {
        let share = SharedMut::new(partial);
        for_blocks(parts, 1, |part, _| {
            // SAFETY: parts are disjoint.
            let sum = unsafe { share.range(part * len, len) };
            sum.fill(0.0);
            for i in part * blocks / parts..(part + 1) * blocks / parts {
                f(i * block, block.min(total - i * block), sum);
            }
        });
        let share = SharedMut::new(sums);
        for_blocks(len, BLOCK, |start, n| {
            // SAFETY: blocks are disjoint.
            let sums = unsafe { share.range(start, n) };
            sums.fill(0.0);
            for part in 0..parts {
                let partial = &partial[part * len + start..][..n];
                sums.iter_mut().zip(partial).for_each(|(a, b)| *a += b);
            }
        });
    });
}

/// C += Aᵀ·B for A `[rows, m]`, whose rows start every `a_stride` elements, B `[rows, n]` likewise and C
/// `[m, n]` without gaps.
///
/// # Panics  if one of them is too small.
pub fn add_transposed_product(
    (a, a_stride): (&[f32], usize),
    m: usize,
    (b, b_stride): (&[f32], usize),
    n: usize,
    rows: usize,
    c: &mut [f32],
) {
    let deep = padded(rows);
    scratch(m * deep, |turned| {
        transpose(a, a_stride, rows, m, turned, deep);
        let mut packed = Packed::empty();
        packed.refill_kn(Mat::new(b, b_stride), rows, n);
        gemm(Mat::new(turned, deep), m, &packed, c, n, Finish { accumulate: true, ..Finish::default() });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_the_same_for_any_number_of_threads() {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut sums = vec![7.0; 5000];
            pool.install(|| {
                sum_parts(103, 2, &mut sums, |start, n, sum| {
                    for row in start..start + n {
                        sum.iter_mut().enumerate().for_each(|(i, v)| *v += ((row * 31 + i) as f32).sin());
                    }
                });
            });
            sums
        };
        let one = run(1);
        assert_eq!(one, run(3));
        for i in [0, 4999] {
            let want: f64 = (0..103).map(|row| ((row * 31 + i) as f32).sin() as f64).sum();
            assert!((one[i] as f64 - want).abs() < 1e-4, "{} {want}", one[i]);
        }
        let mut none = [3.0; 2];
        sum_parts(0, 4, &mut none, |_, _, _| unreachable!("no rows"));
        assert_eq!(none, [0.0; 2]);
    }

    #[test]
    fn transposed_product_is_added() {
        let (rows, m, n) = (5, 3, 7);
        let a: Vec<f32> = (0..rows * 4).map(|i| (i % 5) as f32 - 2.0).collect();
        let b: Vec<f32> = (0..rows * 8).map(|i| (i % 7) as f32 - 3.0).collect();
        let mut c = vec![1.0; m * n];
        add_transposed_product((&a, 4), m, (&b, 8), n, rows, &mut c);
        for i in 0..m {
            for j in 0..n {
                let want: f32 = (0..rows).map(|p| a[p * 4 + i] * b[p * 8 + j]).sum();
                assert_eq!(c[i * n + j], want + 1.0);
            }
        }
    }
}
