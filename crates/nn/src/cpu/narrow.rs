//! Softmax attention of heads of 8 channels. Along its channels such a head fills half a vector of AVX-512, so vectors
//! run over queries here: keys and values are broadcast, a query's softmax needs no sum across a vector, and the
//! weights of 32 queries go from the exponential into their sums without leaving the registers.

use super::level::{Level, level};
use super::number::{Number, pair_rows, pair_up};
use super::rows::scale_row;
use super::scratch::scratch;
use super::threads::{SharedMut, for_blocks};
use super::transpose::transpose;

/// Channels of a head.
const D: usize = 8;
/// Queries of a vector.
const LANES: usize = 16;
/// Queries in registers at a time; of the last, one vector may do.
const WIDE: usize = 2 * LANES;

/// Whether [`attend_narrow`] is for heads of so many channels and values, on this machine.
pub fn is_narrow(channels: usize, values: usize) -> bool {
    channels == D && values == D && level() == Level::Avx512
}

/// Up to 32 queries.
#[derive(Clone, Copy)]
struct Queries {
    first: usize,
    rows: usize,
    /// Places in vectors.
    width: usize,
}

impl Queries {
    fn all(n: usize) -> impl Iterator<Item = Self> {
        (0..n).step_by(WIDE).map(move |first| Self::from(first, n))
    }

    fn from(first: usize, n: usize) -> Self {
        let rows = WIDE.min(n - first);
        Self { first, rows, width: rows.next_multiple_of(LANES) }
    }

    /// Their rows of `from` as columns of `to` `[columns, width]`; 0 where no query is.
    fn turn(self, from: &[f32], stride: usize, columns: usize, to: &mut [f32]) {
        if self.rows < self.width {
            to[..columns * self.width].fill(0.0);
        }
        transpose(&from[self.first * stride..], stride, self.rows, columns, to, self.width);
    }
}

/// A pair bias as [`attend_narrow`] reads it, or none: for each head and 32 queries, rows of all keys, times log₂ e.
#[derive(Clone, Copy)]
pub struct TurnedBias<'a>(&'a [f32]);

/// Calls `f` with `bias` `[heads, n, n]` (query, key) turned; it may be empty.
pub fn with_turned_bias<R>(bias: &[f32], n: usize, f: impl FnOnce(TurnedBias<'_>) -> R) -> R {
    if bias.is_empty() {
        return f(TurnedBias(&[]));
    }
    let (heads, places, blocks) = (bias.len() / (n * n), n.next_multiple_of(LANES), n.div_ceil(WIDE));
    scratch(heads * n * places, |turned| {
        let share = SharedMut::new(turned);
        for_blocks(heads * blocks, 1, |block, _| {
            let (head, queries) = (block / blocks, Queries::from(block % blocks * WIDE, n));
            let start = n * (head * places + queries.first);
            // SAFETY: every block writes its own part.
            let to = unsafe { share.range(start, n * queries.width) };
            queries.turn(&bias[head * n * n..], n, n, to);
            scale_row(to, std::f32::consts::LOG2_E);
        });
        f(TurnedBias(turned))
    })
}

/// The heads of one attended row.
pub struct NarrowHeads<'a> {
    /// Queries, keys and values of all heads, `[n, 3·heads·8]`.
    pub qkv: &'a [f32],
    /// Distance between its rows.
    pub stride: usize,
    /// Number of heads.
    pub heads: usize,
    /// What the factors are rounded to.
    pub number: Number,
    /// Factor on q·k, usually 8^(−1/2).
    pub scale: f32,
    /// Added to the scaled logits.
    pub bias: TurnedBias<'a>,
    /// Added to the logits of each key, `[n]`: 0 or −1e9.
    pub mask: &'a [f32],
}

/// softmax(scale·q·kᵀ + bias + mask)·v of all heads into `out` `[n, heads·8]`.
///
/// # Panics  if a size differs, or [`is_narrow`] never said so.
pub fn attend_narrow(row: &NarrowHeads<'_>, out: &mut [f32]) {
    let (n, all, places) = (row.mask.len(), row.heads * D, row.mask.len().next_multiple_of(LANES));
    if n == 0 {
        return;
    }
    assert!(is_narrow(D, D), "narrow heads without AVX-512");
    assert!(row.qkv.len() >= (n - 1) * row.stride + 3 * all && out.len() == n * all);
    let bias = row.bias.0;
    assert!(bias.is_empty() || bias.len() == row.heads * n * places);
    // Numbers of a key as stored, and rows of values: pairs in bf16.
    let (deep, long) = (row.number.depth(D), row.number.depth(n));
    scratch(2 * all * places + (n + long) * all + (n + 2) * WIDE + n, |buffer| {
        let (turned, buffer) = buffer.split_at_mut(all * places);
        let (sums, buffer) = buffer.split_at_mut(all * places);
        let (keys, buffer) = buffer.split_at_mut(n * row.heads * deep);
        let (values, buffer) = buffer.split_at_mut(long * all);
        let (logits, buffer) = buffer.split_at_mut((n + 1) * WIDE);
        let (nothing, mask) = buffer.split_at_mut(WIDE);
        let mask = &mut mask[..n];
        row.queries(turned);
        row.keys_and_values(keys, values);
        nothing.fill(0.0);
        for (to, &m) in mask.iter_mut().zip(row.mask) {
            *to = m * std::f32::consts::LOG2_E;
        }
        for head in 0..row.heads {
            for queries in Queries::all(n) {
                let Queries { first, width, .. } = queries;
                let biased = if bias.is_empty() { &*nothing } else { &bias[n * (head * places + first)..] };
                let block = Block {
                    q: turned[first * all + head * deep * width..].as_ptr(),
                    k: keys[head * n * deep..].as_ptr(),
                    v: values[head * long * D..].as_ptr(),
                    bias: biased.as_ptr(),
                    bias_step: if bias.is_empty() { 0 } else { width },
                    mask,
                    logits: logits.as_mut_ptr(),
                    sums: sums[first * all + head * D * width..].as_mut_ptr(),
                };
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the machine has the instructions, as asked above (bf16 is packed only where it is); every
                // buffer holds what `Block` says for these keys and this width.
                unsafe {
                    match (row.number, width) {
                        (Number::F32, LANES) => x86::f32::attend::<1>(&block),
                        (Number::F32, _) => x86::f32::attend::<2>(&block),
                        (Number::Bf16, LANES) => x86::bf16::attend::<1>(&block),
                        (Number::Bf16, _) => x86::bf16::attend::<2>(&block),
                    }
                }
                #[cfg(not(target_arch = "x86_64"))]
                let _ = block;
            }
        }
        for queries in Queries::all(n) {
            let Queries { first, rows, width } = queries;
            transpose(&sums[first * all..], width, all, rows, &mut out[first * all..], all);
        }
    });
}

impl NarrowHeads<'_> {
    /// Queries, scaled: for up to 32 of them `[heads·8, width]`; in bf16 half as many rows, of pairs.
    fn queries(&self, turned: &mut [f32]) {
        let all = self.heads * D;
        let scale = self.scale * std::f32::consts::LOG2_E;
        for queries in Queries::all(self.mask.len()) {
            let to = &mut turned[queries.first * all..][..all * queries.width];
            queries.turn(self.qkv, self.stride, all, to);
            scale_row(to, scale);
            if self.number == Number::Bf16 {
                let mut paired = [0.0; WIDE];
                let paired = &mut paired[..queries.width];
                for pair in 0..all / 2 {
                    let (low, high) =
                        to[2 * pair * queries.width..][..2 * queries.width].split_at(queries.width);
                    pair_rows(low, high, paired);
                    to[pair * queries.width..][..queries.width].copy_from_slice(paired);
                }
            }
        }
    }

    /// Keys as `[heads, n, 8]`, in bf16 pairs of channels; values likewise, in bf16 pairs of keys.
    fn keys_and_values(&self, keys: &mut [f32], values: &mut [f32]) {
        let (n, all) = (self.mask.len(), self.heads * D);
        let (deep, long) = (self.number.depth(D), self.number.depth(n));
        let of = |key: usize, what: usize| &self.qkv[key * self.stride + what * all..][..all];
        let spread = |from: &[f32], width: usize, rows: usize, row: usize, to: &mut [f32]| {
            for (head, from) in from.chunks_exact(width).enumerate() {
                to[(head * rows + row) * width..][..width].copy_from_slice(from);
            }
        };
        match self.number {
            Number::F32 => {
                for key in 0..n {
                    spread(of(key, 1), D, n, key, keys);
                    spread(of(key, 2), D, n, key, values);
                }
            }
            Number::Bf16 => scratch(2 * all, |buffer| {
                let (pairs, none) = buffer.split_at_mut(all);
                none.fill(0.0);
                for key in 0..n {
                    let pairs = &mut pairs[..all / 2];
                    pair_up(of(key, 1), pairs);
                    spread(pairs, deep, n, key, keys);
                }
                for pair in 0..long {
                    let second = if 2 * pair + 1 < n { of(2 * pair + 1, 2) } else { &*none };
                    pair_rows(of(2 * pair, 2), second, pairs);
                    spread(pairs, D, long, pair, values);
                }
            }),
        }
    }
}

/// One head and some queries: V vectors of them.
struct Block<'a> {
    /// Scaled queries `[8, 16·V]`, in bf16 4 rows of pairs.
    q: *const f32,
    /// Keys `[n, 8]`, in bf16 `[n, 4]` pairs of channels.
    k: *const f32,
    /// Values `[n, 8]`, in bf16 pairs of keys.
    v: *const f32,
    /// Rows of 16·V for each key, `bias_step` apart.
    bias: *const f32,
    bias_step: usize,
    /// Added to the logits of each key.
    mask: &'a [f32],
    /// Scratch `[n, 16·V]`, in bf16 for an even n.
    logits: *mut f32,
    /// Result `[8, 16·V]`.
    sums: *mut f32,
}

#[cfg(target_arch = "x86_64")]
mod x86 {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize, seed: u32, scale: f32) -> Vec<f32> {
        let mut s = seed;
        let next = |_| {
            s = s.wrapping_mul(1664525).wrapping_add(1013904223);
            scale * ((s >> 8) as f32 / (1 << 23) as f32 - 1.0)
        };
        (0..n).map(next).collect()
    }

    /// The definition, in f64.
    fn exact(row: &NarrowHeads<'_>, bias: &[f32]) -> Vec<f64> {
        let (n, all) = (row.mask.len(), row.heads * D);
        let mut out = vec![0.0; n * all];
        for (head, q) in (0..row.heads).flat_map(|head| (0..n).map(move |q| (head, q))) {
            let of = |i: usize, what: usize, c: usize| {
                f64::from(row.qkv[i * row.stride + what * all + head * D + c])
            };
            let logit = |k: usize| {
                let product: f64 = (0..D).map(|c| of(q, 0, c) * of(k, 1, c)).sum();
                let bias = if bias.is_empty() { 0.0 } else { bias[(head * n + q) * n + k] };
                product * f64::from(row.scale) + f64::from(bias) + f64::from(row.mask[k])
            };
            let logits: Vec<f64> = (0..n).map(logit).collect();
            let max = logits.iter().copied().fold(f64::MIN, f64::max);
            let powers: Vec<f64> = logits.iter().map(|x| (x - max).exp()).collect();
            for c in 0..D {
                let sum: f64 = powers.iter().enumerate().map(|(k, p)| p * of(k, 2, c)).sum();
                out[q * all + head * D + c] = sum / powers.iter().sum::<f64>();
            }
        }
        out
    }

    /// ‖got − want‖ / ‖want‖ of a made-up row, in which every fifth key may be masked.
    fn error(number: Number, n: usize, scale: f32, biased: bool, masked: bool) -> f64 {
        let (heads, stride) = (3, 3 * 3 * D + 5);
        let mut qkv = noise(n * stride, n as u32, 1.0);
        for row in qkv.chunks_exact_mut(stride) {
            row[..heads * D].iter_mut().for_each(|q| *q *= scale);
            row[3 * heads * D..].fill(f32::NAN); // the gap between rows
        }
        let bias = noise(if biased { heads * n * n } else { 0 }, 7, scale);
        let mask: Vec<f32> = (0..n).map(|i| if masked && i % 5 == 4 { -1e9 } else { 0.0 }).collect();
        let mut out = vec![f32::NAN; n * heads * D];
        let want = with_turned_bias(&bias, n, |turned| {
            let row = NarrowHeads {
                qkv: &qkv,
                stride,
                heads,
                number,
                scale: (D as f32).powf(-0.5),
                bias: turned,
                mask: &mask,
            };
            attend_narrow(&row, &mut out);
            exact(&row, &bias)
        });
        let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
        norm(&mut out.iter().zip(&want).map(|(a, b)| f64::from(*a) - b)) / norm(&mut want.iter().copied())
    }

    #[test]
    fn agrees_with_f64_at_odd_sizes() {
        if !is_narrow(D, D) {
            return; // other levels have no such path; `ops::exactness` holds heads of 8 against f64 at each
        }
        for n in [1, 2, 3, 15, 16, 17, 31, 32, 33, 47, 49, 64, 65, 97, 130] {
            for (biased, masked) in [(false, false), (true, false), (false, true), (true, true)] {
                for (scale, most) in [(1.0, 5e-7), (1e-4, 5e-7), (20.0, 4e-6)] {
                    let error = error(Number::F32, n, scale, biased, masked);
                    assert!(error < most, "{n} keys, × {scale}, bias {biased}, masked {masked}: {error:e}");
                }
                if Number::bf16_if_fast() == Number::Bf16 {
                    let error = error(Number::Bf16, n, 1.0, biased, masked);
                    assert!(error < 5e-3, "{n} keys in bf16, bias {biased}, masked {masked}: {error:e}");
                }
            }
        }
    }

    #[test]
    fn masked_rows_are_uniform_as_in_alphafold() {
        if !is_narrow(D, D) {
            return;
        }
        let n = 19;
        let qkv = noise(n * 3 * D, 3, 1.0);
        let row = NarrowHeads {
            qkv: &qkv,
            stride: 3 * D,
            heads: 1,
            number: Number::F32,
            scale: 1.0,
            bias: TurnedBias(&[]),
            mask: &[-1e9; 19],
        };
        let mut out = vec![f32::NAN; n * D];
        attend_narrow(&row, &mut out);
        for (i, got) in out.iter().enumerate() {
            let mean: f32 = (0..n).map(|k| qkv[k * 3 * D + 2 * D + i % D]).sum::<f32>() / n as f32;
            assert!((got - mean).abs() < 1e-6, "{i}: {got} {mean}");
        }
    }

    #[test]
    fn queries_and_bias_beyond_the_last_are_zero() {
        let n = 35;
        let bias: Vec<f32> = (0..2 * n * n).map(|i| i as f32).collect();
        with_turned_bias(&bias, n, |turned| {
            for (at, got) in turned.0.iter().enumerate() {
                let (head, at) = (at / (n * 48), at % (n * 48));
                // A block of 32 queries, then one of 16 of which 3 are.
                let (key, q) = if at < n * 32 {
                    (at / 32, at % 32)
                } else {
                    ((at - n * 32) / 16, 32 + (at - n * 32) % 16)
                };
                let want =
                    if q < n { bias[(head * n + q) * n + key] * std::f32::consts::LOG2_E } else { 0.0 };
                assert_eq!(*got, want, "head {head}, key {key}, query {q}");
            }
        });
    }
}
