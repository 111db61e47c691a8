//! What kernels take: one struct each, laid out as C lays out those in `kernels/*.cu`. Addresses are device pointers; shapes
//! and strides are explained there.

/// The arguments of a kernel.
///
/// # Safety
/// `repr(C)`, the same fields in the same order as the kernel's struct.
pub unsafe trait Arguments: Copy {}

macro_rules! arguments {
    ($(#[$doc:meta])* $name:ident [$size:literal] { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default)]
        pub(super) struct $name { $(pub $field: $type,)* }
        const _: () = assert!(size_of::<$name>() == $size);
        // SAFETY: repr(C); the emulator compares sizes, and the tests the results.
        unsafe impl Arguments for $name {}
    };
}

arguments!(
    /// `layer_norm_project.cu`.
    LayerNormProject [144] {
        x: u64, norm_scale: u64, norm_offset: u64, weight: u64, bias: u64, mask: u64, out: u64, heads_out: u64,
        stride0: i64, stride1: i64, group_stride: i64, heads_stride: i64, heads_stride0: i64,
        n0: i32, n1: i32, c: i32, width: i32, heads: i32, group: i32, scaled: i32, slots: i32,
        scale: f32, heads_scale: f32,
    }
);
arguments!(
    /// `attention.cu`.
    Attention [152] {
        q: u64, k: u64, v: u64, bias: u64, mask: u64, o: u64, stats: u64,
        batch_stride: i64, position_stride: i64, head_stride: i64,
        o_batch_stride: i64, o_position_stride: i64, o_head_stride: i64,
        bias_head_stride: i64, bias_stride0: i64, mask_batch_stride: i64, mask_position_stride: i64,
        batch: i32, heads: i32, n: i32,
    }
);
arguments!(
    /// `global_attention.cu`.
    GlobalAttention [136] {
        x: u64, norm_scale: u64, norm_offset: u64, mask: u64, query_weight: u64, k: u64, v: u64, o: u64,
        mean: u64, queries: u64, stats: u64,
        stride0: i64, stride1: i64, kv_stride0: i64, kv_stride1: i64,
        s: i32, r: i32, c: i32, heads: i32,
    }
);
arguments!(
    /// `gate_output.cu`.
    GateOutput [120] {
        x: u64, norm_scale: u64, norm_offset: u64, gate_weight: u64, gate_bias: u64, o: u64, out_weight: u64,
        out_bias: u64, residual: u64, out: u64,
        stride0: i64, stride1: i64,
        n0: i32, n1: i32, c: i32, hv: i32, slots: i32, o_rows: i32,
    }
);
arguments!(
    /// `transition.cu`.
    Transition [96] {
        x: u64, norm_scale: u64, norm_offset: u64, widen: u64, widen_bias: u64, narrow: u64, narrow_bias: u64,
        residual: u64, out: u64,
        rows: i64,
        c: i32, w: i32, slots: i32,
    }
);
arguments!(
    /// `triangle_multiplication.cu`, before the products.
    TriangleProject [136] {
        z: u64, mask: u64, norm_scale: u64, norm_offset: u64,
        project: [u64; 2], gate: [u64; 2], project_bias: [u64; 2], gate_bias: [u64; 2], out: [u64; 2],
        ld: i64,
        n: i32, cz: i32, c: i32, slots: i32,
    }
);
arguments!(
    /// `triangle_multiplication.cu`, after them.
    TriangleOutput [120] {
        z: u64, sums: u64, norm_in_scale: u64, norm_in_offset: u64, norm_out_scale: u64, norm_out_offset: u64,
        out_weight: u64, out_bias: u64, gate_weight: u64, gate_bias: u64, residual: u64, out: u64,
        ld: i64,
        n: i32, cz: i32, c: i32, slots: i32,
    }
);
arguments!(
    /// `outer_product_mean.cu`, how many sequences two residues share.
    PairCounts [24] { mask: u64, counts: u64, s: i32, r: i32, }
);
arguments!(
    /// `outer_product_mean.cu`, after the products.
    OuterProductProject [72] {
        outer: u64, weight: u64, bias: u64, counts: u64, residual: u64, out: u64,
        first_residue: i32, residues: i32, r: i32, e: i32, cz: i32,
    }
);
arguments!(
    /// `pad_rows.cu`.
    PadRows [32] { from: u64, to: u64, rows: i64, n: i32, ld: i32, }
);
