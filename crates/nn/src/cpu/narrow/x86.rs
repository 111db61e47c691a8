//! One head and up to 32 queries with AVX-512, in f32 and in bf16.

use super::super::kernels::{step_bf16, step_f32};
use super::super::softmax::{COARSE, FINE, power_of_two};
use super::{Block, D};
use std::arch::x86_64::*;

/// Logits of all keys in units of log₂ e, and the largest of each query. `$steps` numbers of a key.
macro_rules! logits {
    ($features:literal $step:ident $steps:literal) => {
        #[target_feature(enable = $features)]
        #[inline]
        unsafe fn logits<const V: usize>(b: &Block<'_>) -> [__m512; V] {
            let mut max = [_mm512_set1_ps(f32::MIN); V];
            // SAFETY: as `Block` says.
            unsafe {
                let mut q = [[_mm512_setzero_ps(); V]; $steps];
                for c in 0..$steps {
                    for i in 0..V {
                        q[c][i] = _mm512_loadu_ps(b.q.add((c * V + i) * 16));
                    }
                }
                for (key, &mask) in b.mask.iter().enumerate() {
                    let (k, bias) = (b.k.add(key * $steps), b.bias.add(key * b.bias_step));
                    let mut x = [_mm512_setzero_ps(); V];
                    for c in 0..$steps {
                        let k = _mm512_set1_ps(*k.add(c));
                        for i in 0..V {
                            x[i] = $step(x[i], k, q[c][i]);
                        }
                    }
                    for i in 0..V {
                        let x = _mm512_add_ps(x[i], _mm512_loadu_ps(bias.add(i * 16)));
                        let x = _mm512_add_ps(x, _mm512_set1_ps(mask));
                        max[i] = _mm512_max_ps(x, max[i]);
                        _mm512_storeu_ps(b.logits.add((key * V + i) * 16), x);
                    }
                }
            }
            max
        }
    };
}

/// Divides by the sums of the powers and stores.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn store<const V: usize>(b: &Block<'_>, acc: &[[__m512; V]; D], sum: &[__m512; V]) {
    for i in 0..V {
        let inverse = _mm512_div_ps(_mm512_set1_ps(1.0), sum[i]);
        for c in 0..D {
            // SAFETY: as `Block` says.
            unsafe { _mm512_storeu_ps(b.sums.add((c * V + i) * 16), _mm512_mul_ps(acc[c][i], inverse)) };
        }
    }
}

pub mod f32 {
    use super::*;

    logits!("avx512f" step_f32 8);

    /// # Safety  as `Block` says, for V vectors.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn attend<const V: usize>(b: &Block<'_>) {
        // SAFETY: as the caller's.
        unsafe {
            let max = logits::<V>(b);
            let mut acc = [[_mm512_setzero_ps(); V]; D];
            let mut sum = [_mm512_setzero_ps(); V];
            for key in 0..b.mask.len() {
                let mut p = [_mm512_setzero_ps(); V];
                for i in 0..V {
                    let x = _mm512_loadu_ps(b.logits.add((key * V + i) * 16));
                    p[i] = power_of_two(_mm512_sub_ps(x, max[i]), &FINE);
                    sum[i] = _mm512_add_ps(sum[i], p[i]);
                }
                for c in 0..D {
                    let v = _mm512_set1_ps(*b.v.add(key * D + c));
                    for i in 0..V {
                        acc[c][i] = step_f32(acc[c][i], v, p[i]);
                    }
                }
            }
            store(b, &acc, &sum);
        }
    }
}

pub mod bf16 {
    use super::*;

    logits!("avx512f,avx512bf16" step_bf16 4);

    /// A logit whose power is 0 beside any other, finite.
    const NO_WEIGHT: f32 = -1e38;

    /// Which of 32 numbers, first 16 of one vector and then of another, make pairs of both.
    const PAIRS: [u16; 32] = {
        let mut at = [0; 32];
        let mut i = 0;
        while i < 32 {
            at[i] = (i / 2 + i % 2 * 16) as u16;
            i += 1;
        }
        at
    };

    /// # Safety  as `Block` says, for V vectors.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub unsafe fn attend<const V: usize>(b: &Block<'_>) {
        // SAFETY: as the caller's.
        unsafe {
            let pairs = _mm512_loadu_si512(PAIRS.as_ptr().cast());
            let max = logits::<V>(b);
            let mut acc = [[_mm512_setzero_ps(); V]; D];
            let mut sum = [_mm512_setzero_ps(); V];
            let keys = b.mask.len();
            if keys % 2 == 1 {
                // An odd one out is paired with one of no weight.
                for i in 0..V {
                    _mm512_storeu_ps(b.logits.add((keys * V + i) * 16), _mm512_set1_ps(NO_WEIGHT));
                }
            }
            for key in (0..keys).step_by(2) {
                let mut p = [_mm512_setzero_ps(); V];
                for i in 0..V {
                    let power = |key: usize| {
                        let x = _mm512_loadu_ps(b.logits.add((key * V + i) * 16));
                        power_of_two(_mm512_sub_ps(x, max[i]), &COARSE)
                    };
                    let (low, high) = (power(key), power(key + 1));
                    sum[i] = _mm512_add_ps(sum[i], _mm512_add_ps(low, high));
                    let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
                    p[i] = _mm512_castsi512_ps(_mm512_permutexvar_epi16(pairs, both));
                }
                for c in 0..D {
                    let v = _mm512_set1_ps(*b.v.add(key / 2 * D + c));
                    for i in 0..V {
                        acc[c][i] = step_bf16(acc[c][i], v, p[i]);
                    }
                }
            }
            store(b, &acc, &sum);
        }
    }
}
