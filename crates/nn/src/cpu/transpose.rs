//! Transposed copies of small blocks, for packing and for channel-major storage.

use super::level::{Level, level};

/// Side of a block that is turned in registers.
const SIDE: usize = 16;

/// `to[j·to_stride + i] = from[i·from_stride + j]` for i < rows, j < columns.
///
/// # Panics  if either does not fit.
pub fn transpose(
    from: &[f32],
    from_stride: usize,
    rows: usize,
    columns: usize,
    to: &mut [f32],
    to_stride: usize,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!((rows - 1) * from_stride + columns <= from.len(), "{rows}×{columns} does not fit the source");
    assert!((columns - 1) * to_stride + rows <= to.len(), "{columns}×{rows} does not fit the target");
    let small = small_block();
    for i0 in (0..rows).step_by(SIDE) {
        for j0 in (0..columns).step_by(SIDE) {
            let (h, w) = (SIDE.min(rows - i0), SIDE.min(columns - j0));
            #[cfg(target_arch = "x86_64")]
            if h == SIDE && w == SIDE && level() == Level::Avx512 {
                // SAFETY: the block lies within both, as checked, and the machine has AVX-512.
                unsafe {
                    let source = from.as_ptr().add(i0 * from_stride + j0);
                    x86::block(source, from_stride, to.as_mut_ptr().add(j0 * to_stride + i0), to_stride);
                }
                continue;
            }
            if let Some((side, block)) = small
                && h % side == 0
                && w % side == 0
            {
                for i in (0..h).step_by(side) {
                    for j in (0..w).step_by(side) {
                        // SAFETY: the part lies within both, as checked, and the machine has the instructions.
                        unsafe {
                            let source = from.as_ptr().add((i0 + i) * from_stride + j0 + j);
                            let target = to.as_mut_ptr().add((j0 + j) * to_stride + i0 + i);
                            block(source, from_stride, target, to_stride);
                        }
                    }
                }
                continue;
            }
            for j in 0..w {
                let to = &mut to[(j0 + j) * to_stride + i0..][..h];
                for (i, v) in to.iter_mut().enumerate() {
                    *v = from[(i0 + i) * from_stride + j0 + j];
                }
            }
        }
    }
}

/// Turns a square of numbers: from, its stride, to, its stride.
type Block = unsafe fn(*const f32, usize, *mut f32, usize);

/// The side of the squares that this level turns in registers, if less than [`SIDE`], and what does.
fn small_block() -> Option<(usize, Block)> {
    match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => Some((8, x86::small_block)),
        #[cfg(target_arch = "aarch64")]
        Level::Neon => Some((4, neon::block)),
        _ => None,
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::*;

    /// 4 × 4: two rounds that each double the length of what lies in its place.
    ///
    /// # Safety  4 rows of 4 floats at both places.
    pub unsafe fn block(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: as the caller's; every 64-bit ARM has NEON.
        unsafe {
            let row = |i: usize| vld1q_f32(from.add(i * from_stride));
            let (r0, r1, r2, r3) = (row(0), row(1), row(2), row(3));
            let pairs =
                |a, b| (vreinterpretq_f64_f32(vtrn1q_f32(a, b)), vreinterpretq_f64_f32(vtrn2q_f32(a, b)));
            let ((even0, odd0), (even1, odd1)) = (pairs(r0, r1), pairs(r2, r3));
            let columns = [
                vtrn1q_f64(even0, even1),
                vtrn1q_f64(odd0, odd1),
                vtrn2q_f64(even0, even1),
                vtrn2q_f64(odd0, odd1),
            ];
            for (j, column) in columns.into_iter().enumerate() {
                vst1q_f32(to.add(j * to_stride), vreinterpretq_f32_f64(column));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// 8 × 8: three rounds that each double the length of what lies in its place.
    ///
    /// # Safety  8 rows of 8 floats at both places.
    #[target_feature(enable = "avx2")]
    pub unsafe fn small_block(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        let mut r = [_mm256_setzero_ps(); 8];
        let mut t = [_mm256_setzero_ps(); 8];
        for i in 0..8 {
            // SAFETY: as the caller's.
            r[i] = unsafe { _mm256_loadu_ps(from.add(i * from_stride)) };
        }
        for i in 0..4 {
            t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
            t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
        }
        for i in 0..2 {
            let pd = |k: usize| _mm256_castps_pd(t[4 * i + k]);
            r[4 * i] = _mm256_castpd_ps(_mm256_unpacklo_pd(pd(0), pd(2)));
            r[4 * i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(pd(0), pd(2)));
            r[4 * i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(pd(1), pd(3)));
            r[4 * i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(pd(1), pd(3)));
        }
        // r[4a + b] has, in its two halves, columns b and 4 + b of rows 4a..4a + 4.
        for b in 0..4 {
            let (low, high) = (
                _mm256_permute2f128_ps::<0x20>(r[b], r[4 + b]),
                _mm256_permute2f128_ps::<0x31>(r[b], r[4 + b]),
            );
            // SAFETY: as the caller's.
            unsafe {
                _mm256_storeu_ps(to.add(b * to_stride), low);
                _mm256_storeu_ps(to.add((4 + b) * to_stride), high);
            }
        }
    }

    /// 16 × 16: four rounds that each double the length of what lies in its place.
    ///
    /// # Safety  16 rows of 16 floats at both places.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn block(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        let mut r = [_mm512_setzero_ps(); 16];
        let mut t = [_mm512_setzero_ps(); 16];
        for i in 0..16 {
            // SAFETY: as the caller's.
            r[i] = unsafe { _mm512_loadu_ps(from.add(i * from_stride)) };
        }
        for i in 0..8 {
            t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
            t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
        }
        for i in 0..4 {
            let pd = |k: usize| _mm512_castps_pd(t[4 * i + k]);
            r[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(pd(0), pd(2)));
            r[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(pd(0), pd(2)));
            r[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(pd(1), pd(3)));
            r[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(pd(1), pd(3)));
        }
        // r[4a + b] has, in its four quarters q, column 4q + b of rows 4a..4a + 4.
        for b in 0..4 {
            t[b] = _mm512_shuffle_f32x4::<0x88>(r[b], r[4 + b]);
            t[4 + b] = _mm512_shuffle_f32x4::<0x88>(r[8 + b], r[12 + b]);
            t[8 + b] = _mm512_shuffle_f32x4::<0xdd>(r[b], r[4 + b]);
            t[12 + b] = _mm512_shuffle_f32x4::<0xdd>(r[8 + b], r[12 + b]);
        }
        for b in 0..4 {
            let columns = [
                (b, _mm512_shuffle_f32x4::<0x88>(t[b], t[4 + b])),
                (4 + b, _mm512_shuffle_f32x4::<0x88>(t[8 + b], t[12 + b])),
                (8 + b, _mm512_shuffle_f32x4::<0xdd>(t[b], t[4 + b])),
                (12 + b, _mm512_shuffle_f32x4::<0xdd>(t[8 + b], t[12 + b])),
            ];
            for (column, v) in columns {
                // SAFETY: as the caller's.
                unsafe { _mm512_storeu_ps(to.add(column * to_stride), v) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_lands_in_its_place() {
        for (rows, columns) in
            [(1, 1), (16, 16), (17, 33), (48, 31), (5, 64), (24, 8), (40, 56), (12, 20), (4, 4)]
        {
            let (a, b) = (columns + 3, rows + 2);
            let from: Vec<f32> = (0..rows * a).map(|i| i as f32).collect();
            let mut to = vec![-1.0; columns * b];
            transpose(&from, a, rows, columns, &mut to, b);
            for j in 0..columns {
                for i in 0..b {
                    let want = if i < rows { from[i * a + j] } else { -1.0 };
                    assert_eq!(to[j * b + i], want, "{rows}×{columns} at {i},{j}");
                }
            }
        }
    }
}
