//! Softmax attention of heads of 8 channels. Their products are too shallow for the kernels of matrix products, so vectors
//! run over queries here: keys and values are broadcast, a query's softmax needs no sum across a vector, and the
//! weights of some queries go from the exponential into their sums without leaving the registers.

#[cfg(target_arch = "x86_64")]
mod bf16;
mod block;
#[cfg(test)]
mod tests;

use super::level::{Level, level};
use super::number::{Number, pair_rows, pair_up};
use super::rows::scale_row;
use super::scratch::scratch;
use super::threads::{SharedMut, for_blocks};
use super::transpose::transpose;

/// Channels of a head.
const D: usize = 8;
/// Queries that lie side by side: whole vectors at every level.
const LANES: usize = 16;
/// Most of them; the last may be [`LANES`].
const WIDE: usize = 2 * LANES;

/// Whether [`attend_narrow`] is for heads of so many channels and values, on this machine. Not for the compiler's own
/// vectors, with which it has not been timed.
pub fn is_narrow(channels: usize, values: usize) -> bool {
    channels == D && values == D && level() != Level::Plain
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
    assert!(is_narrow(D, D), "narrow heads without vectors");
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
                // SAFETY: bf16 is packed only where its instructions are; every buffer holds what `Block` says for these
                // keys and this width.
                unsafe {
                    match (row.number, width) {
                        (Number::F32, LANES) => block::attend_16(&block),
                        (Number::F32, _) => block::attend_32(&block),
                        #[cfg(target_arch = "x86_64")]
                        (Number::Bf16, LANES) => bf16::attend::<1>(&block),
                        #[cfg(target_arch = "x86_64")]
                        (Number::Bf16, _) => bf16::attend::<2>(&block),
                        #[cfg(not(target_arch = "x86_64"))]
                        (Number::Bf16, _) => unreachable!("bf16 without its instructions"),
                    }
                }
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

/// One head and 16 or 32 queries: W of them.
struct Block<'a> {
    /// Scaled queries `[8, W]`, in bf16 4 rows of pairs.
    q: *const f32,
    /// Keys `[n, 8]`, in bf16 `[n, 4]` pairs of channels.
    k: *const f32,
    /// Values `[n, 8]`, in bf16 pairs of keys.
    v: *const f32,
    /// Rows of W for each key, `bias_step` apart.
    bias: *const f32,
    bias_step: usize,
    /// Added to the logits of each key.
    mask: &'a [f32],
    /// Scratch `[n, W]`, in bf16 for an even n.
    logits: *mut f32,
    /// Result `[8, W]`.
    sums: *mut f32,
}
