//! Peak memory of the network at work, stage by stage; each counts the tensors and buffers that its code holds at a
//! time. Sizes are in floats until they are added up.

use super::{Dims, Stack};

/// Memory of the network at work, bytes: what is always there, and the most of what its stages need besides.
///
/// Always: the code, the parameters, the features of all passes, one pair mask, and what each thread keeps: an
/// attended row or column, the packed rows of a triangle product.
/// Nothing grows with r³: attention and outer products are made a few rows at a time.
pub fn running_bytes(d: &Dims, passes: usize, threads: usize) -> u64 {
    let features = passes * d.r * (d.s * 52 + d.extra * 5);
    let always = features + d.r * d.r + threads * of_a_thread(d);
    let stages = [embedding(d, passes), templates(d), extra_stack(d), evoformer(d), structure(d), heads(d)];
    let widest = stages.into_iter().max().unwrap_or(0);
    let parameters = PARAMETERS * if d.bf16 { 0.5 } else { 1.0 } * d.parameters as f64;
    RESIDENT + parameters as u64 + 4 * (always + widest) as u64
}

/// Code and small things, bytes: what a network of next to no size takes.
const RESIDENT: u64 = 31_000_000;

/// Bytes for each parameter: an f32, and the gaps that the allocator leaves around matrices (measured: 28%).
const PARAMETERS: f64 = 5.2;

/// The MSA with the pair of the pass before (in a first pass zeros that nobody has written) and what is summed up: the
/// pair and the bins of its distances, or the MSA's features.
fn embedding(d: &Dims, passes: usize) -> usize {
    let (rr, c_z, m) = (d.r * d.r, d.evoformer.c_z, msa(&d.evoformer, d.s, d.r));
    let before = if passes > 1 { rr * c_z } else { 0 };
    let others = (rr * (c_z + 15)).max(d.s * d.r * 49);
    before + m + others
}

/// All templates' pairs and, while the last is made, its features or its stack; then the update of the pair, made
/// from products of all templates. Besides the pair and the MSA.
fn templates(d: &Dims) -> usize {
    if d.templates == 0 {
        return 0;
    }
    let (rr, c_t) = (d.r * d.r, d.template_stack.c_z);
    let made = d.templates * rr * c_t;
    let last = (rr * 127).max(borrowed(&d.template_stack, 0, d.r));
    let attended = rr * (5 * c_t + d.evoformer.c_z) + borrowed(&d.template_stack, 0, d.r);
    rr * d.evoformer.c_z + msa(&d.evoformer, d.s, d.r) + made + last.max(attended)
}

fn extra_stack(d: &Dims) -> usize {
    let (rows, columns) = (d.extra, d.r);
    let embedding = rows * columns * 25;
    let both = msa(&d.extra_stack, rows, columns) + msa(&d.evoformer, d.s, columns);
    both + d.r * d.r * d.evoformer.c_z + embedding.max(borrowed(&d.extra_stack, rows, columns))
}

/// The extra rows' scratch stays with the threads.
fn evoformer(d: &Dims) -> usize {
    let most = borrowed(&d.evoformer, d.s, d.r).max(borrowed(&d.extra_stack, d.extra, d.r));
    msa(&d.evoformer, d.s, d.r) + d.r * d.r * d.evoformer.c_z + most
}

/// The pair and its normalised copy; what invariant point attention projects, packs and sums for each residue.
fn structure(d: &Dims) -> usize {
    let c_z = d.evoformer.c_z;
    let panels = 96 * d.ipa.heads;
    let points = d.r * (2 * d.ipa.projections() + d.ipa.features(c_z) + panels);
    msa(&d.evoformer, d.s, d.r) + d.r * d.r * 2 * c_z + points
}

/// The pair and its heads' logits, of which the distogram's are added to their transpose.
fn heads(d: &Dims) -> usize {
    let logits = d.s * d.r * 23;
    msa(&d.evoformer, d.s, d.r) + logits + d.r * d.r * (d.evoformer.c_z + d.pair_bins + 1)
}

/// Rows of an alignment, updated in place.
fn msa(k: &Stack, rows: usize, r: usize) -> usize {
    rows * r * k.c_m
}

/// What a block of this stack borrows at a time and its stack keeps for the next: factors of outer products, or
/// factors and sums of a triangle product; with the attention bias, which is a tensor.
fn borrowed(k: &Stack, rows: usize, r: usize) -> usize {
    let few = nn::ops::channels_at_a_time(r, k.triangle.max(1));
    let triangle = (k.triangle + 2 * few) * r * nn::cpu::padded(r);
    let outer = rows * r * k.outer;
    let kept = (2 * outer).max(triangle);
    // Besides what is kept: the packed factor, or the bias.
    (kept + outer).max(kept + r * r * k.row.1.max(k.triangle_attention.1))
}

/// What one thread keeps: a row or column with its projections and the result, and packed matrices.
fn of_a_thread(d: &Dims) -> usize {
    let attended = |k: &Stack, n: usize| n * (5 * k.row.0.max(k.column) + 2 * k.c_m);
    let rows = attended(&d.evoformer, d.r.max(d.s)).max(d.extra * 4 * d.extra_stack.c_m);
    let pair =
        attended(&Stack { row: d.evoformer.triangle_attention, c_m: d.evoformer.c_z, ..d.evoformer }, d.r);
    rows.max(pair) + d.r * d.r + PACKED
}

/// Packed weights of a block, floats.
const PACKED: usize = 3 << 19;
