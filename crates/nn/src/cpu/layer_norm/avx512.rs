//! Layer norm with AVX-512, of one row and of four side by side.

use super::super::lanes::{by_16, by_32, lanes};
use super::super::number::Number;
use std::arch::x86_64::*;

/// Mean of `x` and 1 / standard deviation.
#[target_feature(enable = "avx512f")]
#[inline]
fn moments(x: &[f32]) -> (f32, f32) {
    let (n, from) = (x.len(), x.as_ptr());
    let count = n as f32;
    // Two sums at a time: an addition takes four cycles, and two begin in each.
    let mut sums = [_mm512_setzero_ps(); 2];
    let mut squares = sums;
    by_32(n, |at, some| {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: lanes beyond the end are not read.
            let v = unsafe { _mm512_maskz_loadu_ps(some[i], from.wrapping_add(at + 16 * i)) };
            *sum = _mm512_add_ps(*sum, v);
        }
    });
    let mean = _mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1])) / count;
    let middle = _mm512_set1_ps(mean);
    by_32(n, |at, some| {
        for (i, squares) in squares.iter_mut().enumerate() {
            // SAFETY: as above.
            let v = unsafe { _mm512_maskz_loadu_ps(some[i], from.wrapping_add(at + 16 * i)) };
            let v = _mm512_maskz_sub_ps(some[i], v, middle);
            *squares = _mm512_fmadd_ps(v, v, *squares);
        }
    });
    let variance = _mm512_reduce_add_ps(_mm512_add_ps(squares[0], squares[1])) / count;
    (mean, 1.0 / (variance + 1e-5).sqrt())
}

/// Rows that are normalised side by side.
const SIDE: usize = 4;

/// As many of the rows as are whole fours; how many. The machine has AVX-512.
pub fn fours<'a>(
    number: Number,
    rows: usize,
    x: &impl Fn(usize) -> &'a [f32],
    (scale, offset): (&[f32], &[f32]),
    out: &mut [f32],
) -> usize {
    let n = scale.len();
    // Rows of a column lie pages apart, where no machine looks ahead by itself: the next are asked for. Not more of
    // them, as they may share a set of the first-level cache.
    let scattered = rows > 1 && x(1).as_ptr() != x(0).as_ptr().wrapping_add(n);
    let fours = rows - rows % SIDE;
    for row in (0..fours).step_by(SIDE) {
        if scattered {
            (row + SIDE..(row + 2 * SIDE).min(rows)).for_each(|next| ask_for(x(next)));
        }
        let four = [x(row), x(row + 1), x(row + 2), x(row + 3)];
        assert!(four.iter().all(|x| x.len() == n));
        let out = &mut out[row * n..][..SIDE * n];
        // SAFETY: the machine has the instructions (bf16 is only asked for where it is), and the lengths agree.
        unsafe {
            match number {
                Number::F32 => layer_norm_of_four(four, scale, offset, out),
                Number::Bf16 => layer_norm_of_four_in_pairs(four, scale, offset, out),
            }
        }
    }
    fours
}

/// Asks for a row's memory.
fn ask_for(x: &[f32]) {
    for line in x.chunks(16) {
        // SAFETY: every x86-64 has SSE; what is asked for is not read.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
}

/// The sum of each vector in its quarter of the result, in the order of `_mm512_reduce_add_ps`.
#[target_feature(enable = "avx512f")]
#[inline]
fn totals(x: [__m512; 4]) -> __m512 {
    // Halves onto halves, of two vectors, then quarters onto quarters, of four.
    let halves = |a, b| _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b));
    let (a, b) = (halves(x[0], x[1]), halves(x[2], x[3]));
    let x = _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
    let x = _mm512_add_ps(x, _mm512_permute_ps::<0x4e>(x));
    _mm512_add_ps(x, _mm512_permute_ps::<0xb1>(x))
}

/// Each quarter in all places of a vector.
#[target_feature(enable = "avx512f")]
#[inline]
fn quarters(x: __m512) -> [__m512; 4] {
    [
        _mm512_shuffle_f32x4::<0x00>(x, x),
        _mm512_shuffle_f32x4::<0x55>(x, x),
        _mm512_shuffle_f32x4::<0xaa>(x, x),
        _mm512_shuffle_f32x4::<0xff>(x, x),
    ]
}

/// [`moments`] of four rows, in all places of vectors.
///
/// # Safety  all are of one length.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn moments_of_four(x: [&[f32]; 4]) -> [(__m512, __m512); 4] {
    let n = x[0].len();
    let count = _mm512_set1_ps(n as f32);
    let mut sums = [[_mm512_setzero_ps(); 2]; 4];
    let mut squares = sums;
    // One row after the other: so they are fetched from memory in order.
    for row in 0..4 {
        by_32(n, |at, some| {
            for i in 0..2 {
                let from = x[row].as_ptr().wrapping_add(at + 16 * i);
                // SAFETY: lanes beyond the end are not read.
                let v = unsafe { _mm512_maskz_loadu_ps(some[i], from) };
                sums[row][i] = _mm512_add_ps(sums[row][i], v);
            }
        });
    }
    let mean = _mm512_div_ps(totals(sums.map(|s| _mm512_add_ps(s[0], s[1]))), count);
    let middle = quarters(mean);
    by_32(n, |at, some| {
        for i in 0..2 {
            for row in 0..4 {
                let from = x[row].as_ptr().wrapping_add(at + 16 * i);
                // SAFETY: as above.
                let v = unsafe { _mm512_maskz_loadu_ps(some[i], from) };
                let v = _mm512_maskz_sub_ps(some[i], v, middle[row]);
                squares[row][i] = _mm512_fmadd_ps(v, v, squares[row][i]);
            }
        }
    });
    let variance = _mm512_div_ps(totals(squares.map(|s| _mm512_add_ps(s[0], s[1]))), count);
    let deviation = _mm512_sqrt_ps(_mm512_add_ps(variance, _mm512_set1_ps(1e-5)));
    let inverse = quarters(_mm512_div_ps(_mm512_set1_ps(1.0), deviation));
    [0, 1, 2, 3].map(|row| (middle[row], inverse[row]))
}

/// 16 elements of the result, 0 beyond the end.
///
/// # Safety  all are of one length.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn normed(
    x: &[f32],
    (mean, inverse): (__m512, __m512),
    (scale, offset): (&[f32], &[f32]),
    at: usize,
    some: __mmask16,
) -> __m512 {
    // SAFETY: lanes beyond the end are not read.
    unsafe {
        let load = |x: &[f32]| _mm512_maskz_loadu_ps(some, x.as_ptr().wrapping_add(at));
        let v = _mm512_mul_ps(_mm512_sub_ps(load(x), mean), inverse);
        _mm512_maskz_fmadd_ps(some, v, load(scale), load(offset))
    }
}

/// N rows with their moments, into as many of `out`.
///
/// # Safety  all are of one length.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn put<const N: usize>(
    x: [&[f32]; N],
    moments: [(__m512, __m512); N],
    affine: (&[f32], &[f32]),
    out: &mut [f32],
) {
    let n = affine.0.len();
    by_16(n, |at, some| {
        for row in 0..N {
            // SAFETY: as the caller's; lanes beyond the end are not written.
            unsafe {
                let v = normed(x[row], moments[row], affine, at, some);
                _mm512_mask_storeu_ps(out.as_mut_ptr().add(row * n + at), some, v);
            }
        }
    });
}

/// As [`put`], as pairs.
///
/// # Safety  as [`put`].
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
unsafe fn put_pairs<const N: usize>(
    x: [&[f32]; N],
    moments: [(__m512, __m512); N],
    affine: (&[f32], &[f32]),
    out: &mut [f32],
) {
    let n = affine.0.len();
    by_32(n, |at, some| {
        let pairs = if some[1] == !0 { !0 } else { lanes(n.div_ceil(2), at / 2) };
        for row in 0..N {
            // SAFETY: as the caller's; lanes beyond the end are not written.
            unsafe {
                let half = |i: usize| normed(x[row], moments[row], affine, at + 16 * i, some[i]);
                let both = _mm512_cvtne2ps_pbh(half(1), half(0));
                let both = std::mem::transmute::<__m512bh, __m512>(both);
                _mm512_mask_storeu_ps(out.as_mut_ptr().add(row * n + at / 2), pairs, both);
            }
        }
    });
}

/// # Safety  all are of one length.
#[target_feature(enable = "avx512f")]
pub unsafe fn layer_norm(x: &[f32], scale: &[f32], offset: &[f32], out: &mut [f32]) {
    let (mean, inverse) = moments(x);
    let moments = (_mm512_set1_ps(mean), _mm512_set1_ps(inverse));
    // SAFETY: as the caller's.
    unsafe { put([x], [moments], (scale, offset), out) }
}

/// # Safety  all are of one length.
#[target_feature(enable = "avx512f,avx512bf16")]
pub unsafe fn layer_norm_in_pairs(x: &[f32], scale: &[f32], offset: &[f32], out: &mut [f32]) {
    let (mean, inverse) = moments(x);
    let moments = (_mm512_set1_ps(mean), _mm512_set1_ps(inverse));
    // SAFETY: as the caller's.
    unsafe { put_pairs([x], [moments], (scale, offset), out) }
}

/// # Safety  all are of one length, `out` has four rows of it.
#[target_feature(enable = "avx512f")]
unsafe fn layer_norm_of_four(x: [&[f32]; 4], scale: &[f32], offset: &[f32], out: &mut [f32]) {
    // SAFETY: as the caller's.
    unsafe { put(x, moments_of_four(x), (scale, offset), out) }
}

/// # Safety  as [`layer_norm_of_four`].
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn layer_norm_of_four_in_pairs(x: [&[f32]; 4], scale: &[f32], offset: &[f32], out: &mut [f32]) {
    // SAFETY: as the caller's.
    unsafe { put_pairs(x, moments_of_four(x), (scale, offset), out) }
}
