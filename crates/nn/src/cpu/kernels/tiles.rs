//! Register blocks of 16 columns of every level but AVX-512: 6 × 16 of C are 12 accumulators of AVX2 or 24 of NEON; where no
//! more than 8 columns are left, 12 × 8. With SSE2 at most 3 rows. Sums run the same way in both, so that a column's do not depend on how many there are.

use super::Tile;
use crate::cpu::vector::{Lanes, Vector};

/// Most rows of C in registers.
pub(super) const MR: usize = 12;
/// Columns of a panel.
const NR: usize = 16;
/// Most rows where there are more than 8 columns.
const WIDE: usize = 6;

/// A function for one number of rows and N vectors of columns. Every row's index into the accumulators is a literal: with
/// loops over them the compiler keeps them in memory, at a fortieth of the speed.
macro_rules! block {
    ($name:ident $rows:literal: $($i:literal)*) => {
        #[inline(always)]
        unsafe fn $name<V: Vector, const N: usize>(t: &Tile, row: usize) {
            // SAFETY: B has depth × NR elements, A has as many rows, of at least `depth`.
            unsafe {
                let mut acc = [[V::splat(0.0); N]; $rows];
                let lda = t.a_stride;
                let (mut a, mut b) = (t.a.wrapping_add(row * lda), t.b);
                for _ in 0..t.depth {
                    let b_row = row_of::<V, N>(b);
                    $(
                        let x = V::splat(*a.add($i * lda));
                        for j in 0..N {
                            acc[$i][j] = x.mul_add(b_row[j], acc[$i][j]);
                        }
                    )*
                    a = a.wrapping_add(1);
                    b = b.wrapping_add(NR);
                }
                if t.columns < N * V::LANES {
                    let mut values = [[0.0; NR]; $rows];
                    $(
                        for j in 0..N {
                            acc[$i][j].store(values[$i].as_mut_ptr().add(j * V::LANES));
                        }
                    )*
                    return store_some(t, row, &values);
                }
                let bias = if t.bias.is_null() { [V::splat(0.0); N] } else { row_of::<V, N>(t.bias) };
                let low = V::splat(if t.relu { 0.0 } else { f32::NEG_INFINITY });
                $(
                    for j in 0..N {
                        let c = t.c.add((row + $i) * t.c_stride + j * V::LANES);
                        let mut x = acc[$i][j].add(bias[j]);
                        if t.accumulate {
                            x = x.add(V::load(c));
                        }
                        // In this order NaN stays NaN.
                        low.max(x).store(c);
                    }
                )*
            }
        }
    };
}

block!(rows_1 1: 0);
block!(rows_2 2: 0 1);
block!(rows_3 3: 0 1 2);
block!(rows_4 4: 0 1 2 3);
block!(rows_5 5: 0 1 2 3 4);
block!(rows_6 6: 0 1 2 3 4 5);
block!(rows_7 7: 0 1 2 3 4 5 6);
block!(rows_8 8: 0 1 2 3 4 5 6 7);
block!(rows_9 9: 0 1 2 3 4 5 6 7 8);
block!(rows_10 10: 0 1 2 3 4 5 6 7 8 9);
block!(rows_11 11: 0 1 2 3 4 5 6 7 8 9 10);
block!(rows_12 12: 0 1 2 3 4 5 6 7 8 9 10 11);

/// One tile; 16 columns are W vectors, 8 are H.
///
/// # Safety  as [`Vector`] and [`Tile`] say; a panel has all its columns, only C may have fewer.
#[inline(always)]
unsafe fn tile<V: Vector, const W: usize, const H: usize>(t: &Tile) {
    // SAFETY: as the caller's.
    unsafe {
        if t.columns > 8 {
            // Two halves take less than a whole and a small rest: few accumulators wait for each other.
            let first = if t.rows > WIDE { t.rows.div_ceil(2) } else { t.rows };
            let mut row = 0;
            while row < t.rows {
                match first.min(t.rows - row) {
                    1 => rows_1::<V, W>(t, row),
                    2 => rows_2::<V, W>(t, row),
                    3 => rows_3::<V, W>(t, row),
                    4 => rows_4::<V, W>(t, row),
                    5 => rows_5::<V, W>(t, row),
                    _ => rows_6::<V, W>(t, row),
                }
                row += first;
            }
            return;
        }
        match t.rows {
            1 => rows_1::<V, H>(t, 0),
            2 => rows_2::<V, H>(t, 0),
            3 => rows_3::<V, H>(t, 0),
            4 => rows_4::<V, H>(t, 0),
            5 => rows_5::<V, H>(t, 0),
            6 => rows_6::<V, H>(t, 0),
            7 => rows_7::<V, H>(t, 0),
            8 => rows_8::<V, H>(t, 0),
            9 => rows_9::<V, H>(t, 0),
            10 => rows_10::<V, H>(t, 0),
            11 => rows_11::<V, H>(t, 0),
            12 => rows_12::<V, H>(t, 0),
            _ => unreachable!("a tile has 1 to 12 rows"),
        }
    }
}

/// Most rows where there are 16 registers of 4 lanes.
pub(super) const FEW: usize = 3;

/// # Safety  as [`tile`].
pub(super) unsafe fn plain(t: &Tile) {
    // SAFETY: as the caller's.
    unsafe { tile::<Lanes, 4, 2>(t) }
}

/// # Safety  as [`tile`]; the machine has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn avx2(t: &Tile) {
    // SAFETY: as the caller's.
    unsafe { tile::<std::arch::x86_64::__m256, 2, 1>(t) }
}

/// # Safety  as [`tile`].
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn neon(t: &Tile) {
    // SAFETY: as the caller's.
    unsafe { tile::<std::arch::aarch64::float32x4_t, 4, 2>(t) }
}

/// N vectors from `from` on.
#[inline(always)]
unsafe fn row_of<V: Vector, const N: usize>(from: *const f32) -> [V; N] {
    // SAFETY: as the caller's.
    unsafe {
        let mut row = [V::splat(0.0); N];
        for (j, v) in row.iter_mut().enumerate() {
            *v = V::load(from.add(j * V::LANES));
        }
        row
    }
}

/// Finishes rows of C from `row` on that have fewer columns than were computed; one by one, as masked stores take longer
/// on some machines.
unsafe fn store_some(t: &Tile, row: usize, values: &[[f32; NR]]) {
    for (i, values) in values.iter().enumerate() {
        for (j, &value) in values.iter().enumerate().take(t.columns) {
            // SAFETY: C has these rows and columns; bias is null or has the columns too.
            unsafe {
                let c = t.c.add((row + i) * t.c_stride + j);
                let bias = if t.bias.is_null() { 0.0 } else { *t.bias.add(j) };
                let v = value + bias + if t.accumulate { *c } else { 0.0 };
                *c = if t.relu && v < 0.0 { 0.0 } else { v };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernels of this machine, and how many rows they take.
    fn kernels() -> Vec<(&'static str, unsafe fn(&Tile), usize)> {
        let mut kernels: Vec<(_, unsafe fn(&Tile), _)> = vec![("plain", plain, FEW)];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            kernels.push(("AVX2", avx2, MR));
        }
        #[cfg(target_arch = "aarch64")]
        kernels.push(("NEON", neon, MR));
        kernels
    }

    #[test]
    fn every_size_agrees_with_f64_and_leaves_the_rest_alone() {
        const DEPTH: usize = 29;
        let wave = |n: usize, step: f32| (0..n).map(|i| (i as f32 * step).sin()).collect::<Vec<f32>>();
        let (a, b, bias) = (wave(MR * (DEPTH + 3), 0.37), wave(DEPTH * NR, 0.91), wave(NR, 1.7));
        let (a_stride, c_stride) = (DEPTH + 3, NR + 1);
        for (name, run, most) in kernels() {
            for (rows, columns) in (1..=most).flat_map(|rows| (1..=NR).map(move |columns| (rows, columns))) {
                let plain = rows % 2 == 0;
                let mut c = vec![0.25; MR * c_stride];
                let tile = Tile {
                    rows,
                    columns,
                    depth: DEPTH,
                    a: a.as_ptr(),
                    a_stride,
                    b: b.as_ptr(),
                    c: c.as_mut_ptr(),
                    c_stride,
                    bias: if plain { std::ptr::null() } else { bias.as_ptr() },
                    relu: !plain,
                    accumulate: columns % 3 == 0,
                };
                // SAFETY: the buffers have all that the tile names, and the machine the instructions.
                unsafe { run(&tile) };
                for (at, &got) in c.iter().enumerate() {
                    let (i, j) = (at / c_stride, at % c_stride);
                    if i >= rows || j >= columns {
                        assert_eq!(got, 0.25, "{name}, {rows} × {columns}: ({i}, {j}) was written");
                        continue;
                    }
                    let product = |p: usize| f64::from(a[i * a_stride + p]) * f64::from(b[p * NR + j]);
                    let mut want: f64 = (0..DEPTH).map(product).sum();
                    want += if tile.accumulate { 0.25 } else { 0.0 };
                    if !plain {
                        want = (want + f64::from(bias[j])).max(0.0);
                    }
                    assert!((f64::from(got) - want).abs() < 1e-5, "{name}, {rows} × {columns} at ({i}, {j})");
                }
            }
        }
    }
}
