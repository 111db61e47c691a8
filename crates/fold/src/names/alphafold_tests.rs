//! The map against a real parameter file, and its inverse.

use super::super::summary::Summary;
use super::*;
use std::path::Path;

/// Parameters of the small golden network, written by AlphaFold itself (tests/golden/fold.py).
fn golden() -> Arrays {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/fold/params.npz");
    nn::files::npz::read(&path).unwrap()
}

/// Arrays for every entry of a layout, all dimensions different where they may be, elements counting up.
fn invented(layout: Layout, blocks: usize) -> Arrays {
    let (c, h, d) = (6, 3, 5);
    let mut next = 0;
    let table = entries(layout);
    table
        .iter()
        .map(|entry| {
            let outer = entry.af.contains("outer_product_mean");
            let gated = entry.af.ends_with("feat_2d_weights") || entry.af.contains("trainable_point_weights");
            let mut shape = match entry.axes {
                Axes::Same if gated => vec![h],
                Axes::Same | Axes::Scalar | Axes::SwappedBias => vec![8],
                Axes::Linear if gated => vec![c, h],
                Axes::Linear if outer => vec![c, h],
                Axes::Linear if entry.af.ends_with("key_w") => vec![c, d],
                Axes::Linear | Axes::SwappedLinear => vec![c, 8],
                Axes::HeadsIn => vec![c, h, d],
                Axes::HeadsBias => vec![h, d],
                Axes::HeadsOut => vec![h, d, 7],
            };
            if entry.stack.is_some() {
                shape.insert(0, blocks);
            }
            let count: usize = shape.iter().product();
            let data: Vec<f32> = (0..count).map(|i| (next + i) as f32).collect();
            next += count;
            (format!("{PREFIX}{}", entry.af), Array::from_f32(&shape, &data))
        })
        .collect()
}

#[test]
fn golden_parameters_go_there_and_back() {
    let source = golden();
    let ours = from_alphafold(&source).unwrap();
    let heads = Heads::of_alphafold(&source);
    assert_eq!(heads, Heads { msa_column: 3, template_pointwise: 4 });
    assert_eq!(to_alphafold(&ours, &heads).unwrap(), source);
    let summary = Summary::of(&ours);
    assert_eq!((summary.evoformer_blocks, summary.extra_msa_blocks, summary.template_blocks), (2, 1, 2));
    assert_eq!((summary.c_m, summary.c_z, summary.c_s), (24, 20, 28));
    assert!(summary.templates && summary.ptm && summary.preset().is_none());
    assert_eq!(summary.parameters, source.values().map(Array::len).sum::<usize>());
    // The same with single slashes and without the prefix.
    let plain: Arrays = source.iter().map(|(name, a)| (plain_name(name), a.clone())).collect();
    assert_eq!(from_alphafold(&plain).unwrap(), ours);
}

#[test]
fn places_single_elements() {
    let source = golden();
    let ours = from_alphafold(&source).unwrap();
    let af = |name: &str, index: &[usize]| {
        let array = &source[&format!("{PREFIX}{name}")];
        let flat = index.iter().zip(array.shape()).fold(0, |at, (&i, &n)| at * n + i);
        array.to_f32()[flat]
    };
    let of = |name: &str, row: usize, column: usize| {
        let array = &ours[name];
        array.to_f32()[row * array.shape()[1] + column]
    };
    // Row attention has 4 heads of 6: query_w[block, in, head, dim] is row head·6 + dim.
    let name = "evoformer/evoformer_iteration/msa_row_attention_with_pair_bias/attention//query_w";
    assert_eq!(
        of("evoformer.blocks.1.msa_att_row.mha.linear_q.weight", 2 * 6 + 5, 9),
        af(name, &[1, 9, 2, 5])
    );
    // The outer product keeps (left, right) as column left·6 + right.
    let name = "evoformer/extra_msa_stack/outer_product_mean//output_w";
    let weight = "extra_msa_stack.blocks.0.outer_product_mean.linear_out.weight";
    assert_eq!(of(weight, 13, 4 * 6 + 1), af(name, &[0, 4, 1, 13]));
    // Incoming: left is b. Outgoing: left is a.
    let name = "evoformer/evoformer_iteration/triangle_multiplication_incoming/left_gate//weights";
    assert_eq!(
        of("evoformer.blocks.0.pair_stack.tri_mul_in.linear_b_g.weight", 17, 3),
        af(name, &[0, 3, 17])
    );
    let name = "evoformer/evoformer_iteration/triangle_multiplication_outgoing/left_gate//weights";
    assert_eq!(
        of("evoformer.blocks.0.pair_stack.tri_mul_out.linear_a_g.weight", 17, 3),
        af(name, &[0, 3, 17])
    );
    let name = "structure_module/fold_iteration/rigid_sidechain/resblock2_1//weights";
    assert_eq!(of("structure_module.angle_resnet.layers.1.linear_2.weight", 20, 6), af(name, &[6, 20]));
    let name = "structure_module/fold_iteration/transition_2//weights";
    assert_eq!(of("structure_module.transition.layers.0.linear_3.weight", 5, 25), af(name, &[25, 5]));
}

#[test]
fn every_layout_goes_there_and_back() {
    for (multimer, fused, blocks) in [(false, false, 1), (false, true, 3), (true, false, 2), (true, true, 4)]
    {
        let source = invented(Layout { multimer, fused }, blocks);
        let ours = from_alphafold(&source).unwrap();
        assert_eq!(layout_of(&ours), Layout { multimer, fused });
        let heads = Heads { msa_column: 3, template_pointwise: 3 };
        assert_eq!(to_alphafold(&ours, &heads).unwrap(), source);
    }
}

#[test]
fn fused_incoming_projections_exchange_halves() {
    let source = invented(Layout { multimer: true, fused: true }, 1);
    let ours = from_alphafold(&source).unwrap();
    let name = "evoformer/evoformer_iteration/triangle_multiplication_incoming/projection//bias";
    let bias = source[&format!("{PREFIX}{name}")].to_f32();
    let swapped = ours["evoformer.blocks.0.pair_stack.tri_mul_in.linear_ab_p.bias"].to_f32();
    assert_eq!(swapped, [&bias[4..], &bias[..4]].concat());
}

#[test]
fn without_templates_and_ptm() {
    let mut source = golden();
    source.retain(|name, _| !name.contains("template") && !name.contains("predicted_aligned_error"));
    let ours = from_alphafold(&source).unwrap();
    let summary = Summary::of(&ours);
    assert!(!summary.templates && !summary.ptm);
    assert_eq!(to_alphafold(&ours, &Heads::of_alphafold(&source)).unwrap(), source);
}

#[test]
fn says_what_does_not_fit() {
    let error = |source: &Arrays| from_alphafold(source).unwrap_err().to_string();
    let mut source = golden();
    source
        .insert("alphafold/alphafold_iteration/evoformer/extra//weights".into(), Array::from_i32(&[], &[1]));
    let name = format!("{PREFIX}predicted_lddt_head/act_0//bias");
    source.remove(&name);
    assert_eq!(
        error(&source),
        format!(
            "1 parameter names no network has: alphafold/alphafold_iteration/evoformer/extra//weights; \
             1 parameter names missing: {name}"
        )
    );
    let mut source = golden();
    source.insert(name.clone(), Array::from_f32(&[2, 2], &[0.0; 4]));
    assert_eq!(error(&source), format!("{name}: expected [channels], found [2, 2]"));
    let mut source = golden();
    let stacked = format!("{PREFIX}evoformer/evoformer_iteration/msa_transition/transition1//bias");
    let short = source[&stacked].row(0).unwrap();
    source.insert(stacked.clone(), Array::stack(&[short]).unwrap());
    assert!(
        error(&source).contains("expected 2 blocks as in") || error(&source).contains("expected 1 blocks")
    );
    let mut source = golden();
    let array = source[&name].clone();
    source.insert(plain_name(&name), array);
    assert!(error(&source).contains("are the same parameter"));

    let mut ours = from_alphafold(&golden()).unwrap();
    let heads = Heads { msa_column: 5, template_pointwise: 4 };
    let error = to_alphafold(&ours, &heads).unwrap_err().to_string();
    assert!(error.contains("5 heads") && error.contains("msa_att_col"), "{error}");
    ours.retain(|name, _| !name.contains("evoformer.blocks.0.msa_transition"));
    let error = to_alphafold(&ours, &Heads { msa_column: 3, template_pointwise: 4 }).unwrap_err();
    assert!(matches!(error, NamesError::Blocks { .. }), "{error}");
}
