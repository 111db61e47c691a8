//! One head and up to 32 queries, of which a few vectors are in registers at a time.

use super::super::softmax::{FINE, power_of_two};
use super::super::vector::{Vector, on_vectors};
use super::{Block, D};

on_vectors! {
    /// # Safety  as `Block` says, for 16 queries.
    pub(super) unsafe fn attend_16<V>(b: &Block<'_>) {
        // SAFETY: as the caller's.
        unsafe { attend::<V, 16>(b) }
    }
}

on_vectors! {
    /// # Safety  as `Block` says, for 32 queries.
    pub(super) unsafe fn attend_32<V>(b: &Block<'_>) {
        // SAFETY: as the caller's.
        unsafe { attend::<V, 32>(b) }
    }
}

/// W queries, as many vectors at a time as the level has registers for with their 8 sums.
#[inline(always)]
unsafe fn attend<V: Vector, const W: usize>(b: &Block<'_>) {
    for first in (0..W).step_by(V::LANES * V::SIDE) {
        // SAFETY: as the caller's.
        unsafe {
            match (W - first) / V::LANES {
                1 => of_vectors::<V, 1, W>(b, first),
                _ if V::SIDE == 1 => of_vectors::<V, 1, W>(b, first),
                _ => of_vectors::<V, 2, W>(b, first),
            }
        }
    }
}

/// N vectors of queries from `first` on.
#[inline(always)]
unsafe fn of_vectors<V: Vector, const N: usize, const W: usize>(b: &Block<'_>, first: usize) {
    // SAFETY: as the caller's.
    unsafe {
        let max = logits::<V, N, W, D>(b, first, |sum, k, q| k.mul_add(q, sum));
        let mut acc = [[V::splat(0.0); N]; D];
        let mut sum = [V::splat(0.0); N];
        for key in 0..b.mask.len() {
            let mut p = [V::splat(0.0); N];
            for i in 0..N {
                let x = V::load(b.logits.add(key * W + first + i * V::LANES));
                p[i] = power_of_two(x.sub(max[i]), &FINE);
                sum[i] = sum[i].add(p[i]);
            }
            for c in 0..D {
                let v = V::splat(*b.v.add(key * D + c));
                for i in 0..N {
                    acc[c][i] = v.mul_add(p[i], acc[c][i]);
                }
            }
        }
        divide::<V, N, W>(b, first, &acc, &sum);
    }
}

/// Logits of all keys in units of log₂ e, and the largest of each query. A key has STEPS numbers, each of which `step` adds
/// with the query's to a sum.
#[inline(always)]
pub(super) unsafe fn logits<V: Vector, const N: usize, const W: usize, const STEPS: usize>(
    b: &Block<'_>,
    first: usize,
    step: impl Fn(V, V, V) -> V,
) -> [V; N] {
    // SAFETY: as the caller's.
    unsafe {
        let mut max = [V::splat(f32::MIN); N];
        let mut q = [[V::splat(0.0); N]; STEPS];
        for c in 0..STEPS {
            for i in 0..N {
                q[c][i] = V::load(b.q.add(c * W + first + i * V::LANES));
            }
        }
        for (key, &mask) in b.mask.iter().enumerate() {
            let (k, bias) = (b.k.add(key * STEPS), b.bias.add(key * b.bias_step + first));
            let mut x = [V::splat(0.0); N];
            for c in 0..STEPS {
                let k = V::splat(*k.add(c));
                for i in 0..N {
                    x[i] = step(x[i], k, q[c][i]);
                }
            }
            for i in 0..N {
                let x = x[i].add(V::load(bias.add(i * V::LANES))).add(V::splat(mask));
                max[i] = x.max(max[i]);
                x.store(b.logits.add(key * W + first + i * V::LANES));
            }
        }
        max
    }
}

/// Divides by the sums of the powers and stores.
#[inline(always)]
pub(super) unsafe fn divide<V: Vector, const N: usize, const W: usize>(
    b: &Block<'_>,
    first: usize,
    acc: &[[V; N]; D],
    sum: &[V; N],
) {
    for i in 0..N {
        // SAFETY: as the caller's.
        unsafe {
            let inverse = V::splat(1.0).div(sum[i]);
            for c in 0..D {
                acc[c][i].mul(inverse).store(b.sums.add(c * W + first + i * V::LANES));
            }
        }
    }
}
