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
    /// `pad_rows.cu`, either way.
    PadRows [32] { from: u64, to: u64, rows: i64, n: i32, ld: i32, }
);

/// A projection's gradient and weight, of [`LayerNormProjectBackward`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Projected {
    pub grad: u64,
    pub weight: u64,
    pub row_stride: i64,
    pub width: i32,
    pub scale: f32,
}

arguments!(
    /// `layer_norm_project_backward.cu`.
    LayerNormProjectBackward [352] {
        x: u64, norm_scale: u64, norm_offset: u64, projected: [Projected; 6], heads_grad: u64, heads_weight: u64,
        heads_rows: u64, mask: u64, column_grad: u64, share: u64, grad: u64, dx: u64, normed: u64, leaves: u64,
        stride0: i64, stride1: i64, heads_stride: i64, heads_stride0: i64,
        n0: i32, n1: i32, c: i32, count: i32, heads: i32,
        heads_scale: f32,
    }
);
arguments!(
    /// `sums.cu`, first step.
    ColumnSums [48] { x: u64, weights: u64, leaves: u64, row_stride: i64, rows: i64, width: i32, slabs: i32, }
);

/// One of the sums of [`SumLeaves`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LeafSums {
    pub leaves: u64,
    pub to: [u64; 4],
    pub n: i32,
    pub width: i32,
    pub end: [i32; 4],
}

arguments!(
    /// `sums.cu`, last step.
    SumLeaves [520] { parts: [LeafSums; 8], count: i32, }
);
arguments!(
    /// `attention_backward.cu`, all of its kernels.
    AttentionBackward [200] {
        q: u64, k: u64, v: u64, o: u64, d_o: u64, bias: u64, mask: u64, stats: u64, delta: u64,
        dq: u64, dk: u64, dv: u64, dbias: u64,
        batch_stride: i64, position_stride: i64, head_stride: i64,
        o_batch_stride: i64, o_position_stride: i64, o_head_stride: i64,
        bias_head_stride: i64, bias_stride0: i64, mask_batch_stride: i64, mask_position_stride: i64,
        batch: i32, heads: i32, n: i32,
    }
);
arguments!(
    /// `global_attention_backward.cu`.
    GlobalAttentionBackward [120] {
        mask: u64, query_weight: u64, k: u64, v: u64, queries: u64, stats: u64, d_o: u64, dk: u64, dv: u64, dq: u64,
        column_grad: u64,
        kv_stride0: i64, kv_stride1: i64,
        s: i32, r: i32, c: i32, heads: i32,
    }
);
arguments!(
    /// `gate_output_backward.cu`.
    GateOutputBackward [136] {
        x: u64, grad: u64, norm_scale: u64, norm_offset: u64, gate_weight: u64, gate_bias: u64, o: u64, out_weight: u64,
        d_o: u64, dgate: u64, gated: u64, grad_rows: u64,
        stride0: i64, stride1: i64,
        n0: i32, n1: i32, c: i32, hv: i32, slots: i32, o_rows: i32,
    }
);
arguments!(
    /// `transition_backward.cu`.
    TransitionBackward [104] {
        x: u64, grad: u64, norm_scale: u64, norm_offset: u64, widen: u64, widen_bias: u64, narrow: u64, hidden: u64,
        dhidden: u64, grad_rows: u64,
        rows: i64,
        c: i32, w: i32, slots: i32,
    }
);
arguments!(
    /// `triangle_multiplication_backward.cu`, between the output and the sums.
    TriangleOutputBackward [120] {
        z: u64, grad: u64, sums: u64, norm_in_scale: u64, norm_in_offset: u64, norm_out_scale: u64,
        norm_out_offset: u64, out_weight: u64, out_bias: u64, gate_weight: u64, gate_bias: u64, dupdate: u64,
        dgate: u64,
        n: i32, cz: i32, c: i32, slots: i32,
    }
);
arguments!(
    /// `triangle_multiplication_backward.cu`, between the products and the projections.
    TriangleProjectBackward [144] {
        z: u64, mask: u64, norm_scale: u64, norm_offset: u64,
        project: [u64; 2], gate: [u64; 2], project_bias: [u64; 2], gate_bias: [u64; 2], grad: [u64; 2],
        projected: u64,
        ld: i64,
        n: i32, cz: i32, c: i32, slots: i32,
    }
);
arguments!(
    /// `triangle_multiplication_backward.cu`, channels to rows and back.
    TurnChannels [32] { channels: u64, rows: u64, ld: i64, n: i32, c: i32, }
);
arguments!(
    /// `outer_product_mean_backward.cu`, outer products as rows.
    OuterProductTurn [32] { outer: u64, rows: u64, residues: i32, r: i32, e: i32, }
);
arguments!(
    /// `outer_product_mean_backward.cu`, before the products.
    OuterProductBackward [64] {
        grad: u64, weight: u64, counts: u64, scaled: u64, douter: u64,
        first_residue: i32, residues: i32, r: i32, e: i32, cz: i32, slots: i32,
    }
);
arguments!(
    /// `outer_product_mean_backward.cu`, sums in f32 to bf16.
    RoundValues [24] { from: u64, to: u64, count: i64, }
);
arguments!(
    /// `linear.cu`, both of its kernels.
    LinearFinish [48] { y: u64, bias: u64, residual: u64, out: u64, rows: i64, n: i32, relu: i32, }
);
arguments!(
    /// `layer_norm.cu`, forward.
    LayerNorm [56] { x: u64, scale: u64, offset: u64, residual: u64, out: u64, rows: i64, c: i32, }
);
arguments!(
    /// `layer_norm.cu`, backward.
    LayerNormBackward [56] { x: u64, scale: u64, grad: u64, dx: u64, leaves: u64, rows: i64, c: i32, }
);
arguments!(
    /// `expectations.cu`.
    Expectations [48] { logits: u64, values: u64, residual: u64, out: u64, rows: i64, bins: i32, k: i32, }
);
arguments!(
    /// `frames.cu`, updates and their gradients.
    FrameUpdate [64] {
        update: u64, frames: u64, residual: u64, out: u64, grad: u64, d_update: u64, d_frames: u64,
        r: i32, still: i32,
    }
);
arguments!(
    /// `frames.cu`, rigid groups and their gradients.
    RigidGroups [72] {
        angles: u64, frames: u64, table: u64, residual: u64, out: u64, grad: u64, d_angles: u64, d_frames: u64,
        r: i32,
        scale: f32,
    }
);
arguments!(
    /// `frames.cu`, pairs of unit length and their gradient.
    UnitPairs [40] { x: u64, residual: u64, out: u64, grad: u64, pairs: i32, }
);
arguments!(
    /// `ipa_frames.cu`, all of its kernels.
    IpaFrames [184] {
        local: u64, ready: u64, bias: u64, rotation: u64, translation: u64, head_weights: u64, head_weight: u64,
        o_points: u64, features: u64, d_features: u64, d_points: u64, frames: u64, d_ready: u64, d_rotation: u64,
        d_translation: u64, d_head_weight: u64, d_head_weights: u64, d_bias: u64,
        r: i32, heads: i32, width: i32, first_points: i32, query_points: i32, key_points: i32, value_points: i32,
        features_width: i32, values: i32,
        factor: f32,
    }
);

/// Where an operand of [`InvariantPointAttention`] lies: elements from axis to axis, row to row, head to head.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IpaStrides {
    pub axis: i64,
    pub row: i64,
    pub head: i64,
}

arguments!(
    /// `ipa.cu`.
    InvariantPointAttention [352] {
        q: u64, k: u64, v: u64, q_points: u64, k_points: u64, v_points: u64, bias: u64, head_weight: u64, mask: u64,
        z: u64, o: u64, o_points: u64, o_pair: u64, stats: u64,
        q_stride: IpaStrides, k_stride: IpaStrides, v_stride: IpaStrides, q_points_stride: IpaStrides,
        k_points_stride: IpaStrides, v_points_stride: IpaStrides,
        bias_stride0: i64, bias_stride1: i64, bias_head_stride: i64,
        o_stride: i64, o_points_axis_stride: i64, o_points_stride: i64, o_pair_stride: i64,
        scale: f32, bias_scale: f32,
        r: i32, heads: i32, d: i32, dv: i32, points: i32, v_points_count: i32, cz: i32,
    }
);
arguments!(
    /// `ipa_backward.cu`, both of its kernels.
    IpaBackward [464] {
        forward: InvariantPointAttention,
        d_o: u64, d_points: u64, d_pair: u64, dq: u64, dk: u64, dv: u64, dq_points: u64, dk_points: u64, dv_points: u64,
        weights: u64, dlogits: u64, dweight_rows: u64, dz_before: u64, dz: u64,
    }
);
