//! How kernels are launched: warps, slots of weights, shared memory, grids. The formulas stand in `kernels/README.md`.

/// Elements of a row of k values in shared memory: S(k).
pub(super) fn stride(k: usize) -> usize {
    k.div_ceil(16) * 16 + 8
}

/// Bytes of a warp's stage.
pub(super) const STAGE: usize = 4608;

/// Blocks of a kernel whose warps take rows and whose weights pass through shared memory in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    /// Warps of a block.
    pub warps: usize,
    /// Chunks of weights that are held at once.
    pub slots: usize,
    /// Shared memory, bytes.
    pub shared: usize,
    /// Tiles of rows.
    pub tiles: usize,
}

/// What such a kernel needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    /// All rows, and how many a warp takes at a time.
    pub rows: (usize, usize),
    /// Chunks of weights.
    pub chunks: usize,
    /// Bytes of a chunk.
    pub slot: usize,
    /// Bytes of a warp.
    pub warp: usize,
}

impl Rows {
    /// The most warps of 8, 4, 2, 1 that fit `limit` bytes with two chunks, but no more than leave a tile for each of
    /// `processors`; all chunks stay in shared memory if they fit then. None if one warp does not fit.
    pub fn fit(needs: &Needs, limit: usize, processors: usize) -> Option<Self> {
        let bytes = |slots: usize, warps: usize| slots * needs.slot + warps * needs.warp;
        let tiles = |warps: usize| needs.rows.0.div_ceil(needs.rows.1 * warps);
        let mut warps = [8, 4, 2, 1].into_iter().find(|&warps| bytes(2, warps) <= limit)?;
        while warps > 1 && tiles(warps) < processors {
            warps /= 2;
        }
        let all = needs.chunks.max(2);
        let slots = if bytes(all, warps) <= limit { all } else { 2 };
        Some(Self { warps, slots, shared: bytes(slots, warps), tiles: tiles(warps) })
    }
}

/// Blocks of the attention kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attending {
    /// Batch rows of a block, which share a tile of the bias: R.
    pub together: usize,
    /// Shared memory, bytes.
    pub shared: usize,
    /// Blocks.
    pub blocks: usize,
}

impl Attending {
    /// For `batch` rows of length `n` of `parts` bf16 parts; two rows a block where a bias is shared and they fit `limit`
    /// bytes. None if one row does not fit.
    pub fn fit(
        (batch, heads, n, d): (usize, usize, usize, usize),
        parts: usize,
        bias: bool,
        limit: usize,
    ) -> Option<Self> {
        let matrices = parts * 256 * (d.max(16) + 8);
        let shared = |together| 2 * (if bias { 18432 } else { 0 } + together * (256 + matrices));
        let most = if bias && batch > 1 { 2 } else { 1 };
        let together = (1..=most).rev().find(|&together| shared(together) <= limit)?;
        let row_blocks = batch.div_ceil(together);
        let group = row_blocks.min(8);
        let blocks = row_blocks.div_ceil(group) * group * heads * n.div_ceil(64);
        Some(Self { together, shared: shared(together), blocks })
    }
}

/// Blocks of the kernels that take attention's gradients back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AttendingBackward {
    /// Batch rows of a block.
    pub together: usize,
    /// Blocks of the kernels for queries and for keys.
    pub blocks: usize,
    /// Shared memory of the kernels for queries, keys and the bias, bytes.
    pub queries: usize,
    pub keys: usize,
    pub bias: usize,
}

impl AttendingBackward {
    /// As [`Attending::fit`].
    pub fn fit(
        (batch, heads, n, d): (usize, usize, usize, usize),
        parts: usize,
        bias: bool,
        limit: usize,
    ) -> Option<Self> {
        let matrices = parts * 256 * (d.max(16) + 8);
        let of_bias = if bias { 18432 } else { 0 };
        let shared = |together, extra| 2 * (of_bias + together * (extra + matrices));
        let most = if bias && batch > 1 && (parts == 1 || d < 64) { 2 } else { 1 };
        let together = (1..=most).rev().find(|&together| shared(together, 768) <= limit)?;
        let row_blocks = batch.div_ceil(together);
        let group = row_blocks.min(8);
        Some(Self {
            together,
            blocks: row_blocks.div_ceil(group) * group * heads * n.div_ceil(64),
            queries: shared(together, 256),
            keys: shared(together, 768),
            bias: 18432 + 2 * together * (256 + matrices),
        })
    }
}

/// Warps and shared memory of the outer product's projection.
pub(super) fn outer_project(parts: usize, limit: usize) -> Option<(usize, usize)> {
    let shared = |warps: usize| 4 * parts * (128 + 32 * warps) * 72 + warps * STAGE;
    [8, 4, 2, 1].into_iter().map(|warps| (warps, shared(warps))).find(|(_, bytes)| *bytes <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// sm_80 and sm_90a.
    const LIMITS: [usize; 2] = [163 * 1024, 227 * 1024];

    /// The table at the end of `kernels/README.md`.
    #[test]
    fn as_many_warps_as_the_table_says() {
        let warps = |chunks: usize, slot: usize, warp: usize, limit| {
            let needs = Needs { rows: (1 << 20, 32), chunks, slot, warp };
            Rows::fit(&needs, limit, 1).map(|rows| rows.warps)
        };
        for (p, c, want) in [
            (1, 128, [[Some(8), Some(4)], [Some(8), Some(8)]]),
            (2, 128, [[Some(4), Some(2)], [Some(4), Some(4)]]),
            (1, 256, [[Some(4), Some(2)], [Some(4), Some(4)]]),
            (2, 256, [[None, None], [Some(2), Some(1)]]),
        ] {
            let s = stride(c);
            for (limit, want) in LIMITS.into_iter().zip(want) {
                let project = warps(13, p * 128 * s, p * 64 * s + STAGE, limit);
                let output = warps(4, p * 128 * s, p * 128 * s + STAGE, limit);
                assert_eq!([project, output], want, "{p} parts, c = {c}, {limit} bytes");
            }
        }
    }

    #[test]
    fn weights_stay_where_they_fit() {
        // layer_norm_project.cu: c = 128, 388 columns, bf16, 8 warps: 7 slots are 228,352 bytes, 2 are 141,312.
        let s = stride(128);
        let needs = Needs { rows: (512 * 512, 32), chunks: 7, slot: 128 * s, warp: 64 * s + STAGE };
        let rows = |limit, processors| Rows::fit(&needs, limit, processors).unwrap();
        assert_eq!(rows(LIMITS[1], 132), Rows { warps: 8, slots: 7, shared: 228_352, tiles: 1024 });
        assert_eq!(rows(LIMITS[0], 108), Rows { warps: 8, slots: 2, shared: 141_312, tiles: 1024 });
        // Few rows: small blocks, so that all processors have some.
        let few = Needs { rows: (1000, 32), ..needs };
        assert_eq!(Rows::fit(&few, LIMITS[1], 132).unwrap().warps, 1);
    }

    #[test]
    fn attention_is_as_its_file_says() {
        // attention.cu: bf16, d = 32, R = 2, bias: 78,848 bytes.
        let a = Attending::fit((512, 4, 512, 32), 1, true, LIMITS[0]).unwrap();
        assert_eq!(a, Attending { together: 2, shared: 78_848, blocks: 256 * 4 * 8 });
        // 17 rows are 9 blocks of two: two groups of eight.
        let a = Attending::fit((17, 3, 65, 16), 1, true, LIMITS[0]).unwrap();
        assert_eq!((a.together, a.blocks), (2, 16 * 3 * 2));
        // f32, d = 64: two rows fit sm_90a only.
        let together = |limit| Attending::fit((8, 2, 64, 64), 2, true, limit).unwrap().together;
        assert_eq!(LIMITS.map(together), [1, 2]);
        assert_eq!(Attending::fit((8, 2, 64, 8), 1, false, LIMITS[0]).unwrap().together, 1);
        assert_eq!(Attending::fit((8, 2, 64, 64), 2, true, 48 * 1024), None);
    }

    #[test]
    fn attention_goes_back_as_its_file_says() {
        // attention_backward.cu: bf16, d = 32, R = 2, bias.
        let a = AttendingBackward::fit((512, 4, 512, 32), 1, true, LIMITS[0]).unwrap();
        assert_eq!((a.together, a.blocks), (2, 256 * 4 * 8));
        assert_eq!((a.queries, a.keys, a.bias), (78_848, 80_896, 60_416));
        // f32, d = 64: one row a block; so without a bias.
        for (d, bias) in [(64, true), (8, false)] {
            assert_eq!(AttendingBackward::fit((8, 2, 64, d), 2, bias, LIMITS[1]).unwrap().together, 1);
        }
        // Whatever attends can go back.
        for (d, parts) in [8, 16, 32, 64].into_iter().flat_map(|d| [(d, 1), (d, 2)]) {
            for bias in [false, true] {
                assert!(AttendingBackward::fit((9, 2, 70, d), parts, bias, LIMITS[0]).is_some());
            }
        }
    }

    #[test]
    fn outer_projection_fits() {
        assert_eq!(outer_project(1, LIMITS[0]), Some((8, 4 * 384 * 72 + 8 * STAGE)));
        assert_eq!(LIMITS.map(|limit| outer_project(2, limit).unwrap().0), [4, 4]);
    }
}
