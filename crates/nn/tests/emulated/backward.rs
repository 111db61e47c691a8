//! Gradients of whole operations against those of the CPU.

use super::SHARED;
use super::cases::{self, Case, made};
use super::machine::{Emulator, bytes, values};
use candle_core::Tensor;
use nn::cuda::{Machine, Precision};
use nn::ops::{Edges, Orientation};
use std::ffi::c_int;

/// How small parts are made where an operation goes in parts.
const PART: usize = 3000;

/// Gradients to the inputs that are wanted, made on `machine`.
fn gradients(machine: &Emulator, case: &Case, grad: &Tensor, wanted: &[bool]) -> Vec<Vec<f32>> {
    let Case { name, update, .. } = case;
    let inputs = update.inputs();
    let places: Vec<_> = inputs
        .iter()
        .zip(wanted)
        .map(|(t, &wanted)| wanted.then(|| machine.memory(4 * t.elem_count()).unwrap()))
        .collect();
    let addresses = places.iter().map(|place| place.as_ref().map_or(0, |place| place.address)).collect();
    let at = machine.address(grad).unwrap();
    assert!(update.launch_backward(machine, at, addresses).unwrap(), "{name}: refused");
    let read = |(place, t): (&Option<nn::cuda::Memory>, &Tensor)| match place {
        // SAFETY: f32 values, as many as the input has; NaN where nothing was written.
        Some(place) => unsafe {
            std::slice::from_raw_parts(place.address as *const f32, t.elem_count()).to_vec()
        },
        None => vec![],
    };
    places.iter().zip(inputs).map(read).collect()
}

/// Relative errors in f32 and in bf16.
const BOUNDS: [f64; 2] = [5e-5, 2e-2];

/// The same of operations that are f32 in both.
const EXACT: [f64; 2] = [5e-6; 2];

/// In both precisions, in f32 on two machines: close to the CPU's gradients; in f32 the same bits again with the threads in another
/// order and only some gradients wanted. `masks` are inputs whose gradient no kernel gives.
fn check(case: &Case, masks: &[usize], subsets: &[&[usize]], kernels: &[&str], bounds: [f64; 2]) {
    let Case { name, update, .. } = case;
    let inputs = update.inputs();
    let shape = update.reference().unwrap().dims().to_vec();
    let mut grad = made(99).get("grad.matrix", &shape);
    if let Some(rows) = &case.rows {
        grad = grad.broadcast_mul(&rows.unsqueeze(1).unwrap()).unwrap();
    }
    let all: Vec<bool> = (0..inputs.len()).map(|i| !masks.contains(&i)).collect();
    let want = update.gradients(&grad, &all).unwrap();
    let norm = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    for (precision, bound) in [Precision::F32, Precision::Bf16].into_iter().zip(bounds) {
        for shared in SHARED.into_iter().take(precision.bytes() / 2) {
            let mut machine = Emulator::new(precision, shared);
            if shared == SHARED[0] {
                machine.part = PART;
            }
            let got = gradients(&machine, case, &grad, &all);
            for kernel in kernels {
                let launched = machine.launched.borrow();
                assert!(
                    launched.iter().any(|k| k.starts_with(kernel)),
                    "{name}: no {kernel} in {launched:?}"
                );
            }
            let mut worst = 0f64;
            let largest = want.iter().flatten().map(|t| norm(&values(t))).fold(0.0, f64::max);
            for (i, want) in want.iter().enumerate() {
                let Some(want) = want else { continue };
                let want = values(want);
                let difference: Vec<f32> = got[i].iter().zip(&want).map(|(a, b)| a - b).collect();
                // Gradients that cancel are as exact as what they are made of.
                let error = norm(&difference) / norm(&want).max(1e-3 * largest);
                worst = worst.max(error);
                assert!(error < bound, "{name} {precision:?} input {i}: error {error:e}, bound {bound:e}");
            }
            println!("{name:<50} {precision:?} worst error {worst:.1e}");
            if shared == SHARED[0] && precision == Precision::F32 {
                machine.schedule.set(1 as c_int);
                for wanted in subsets {
                    let some: Vec<bool> = (0..inputs.len()).map(|i| wanted.contains(&i)).collect();
                    let again = gradients(&machine, case, &grad, &some);
                    for i in *wanted {
                        assert!(
                            bytes(&again[*i]) == bytes(&got[*i]),
                            "{name} {precision:?}: {i} of {wanted:?}"
                        );
                    }
                }
            }
        }
    }
    let machine = Emulator::new(Precision::F32, SHARED[0]);
    if !masks.is_empty() {
        let everything = vec![machine.memory(1 << 20).unwrap().address; inputs.len()];
        let at = machine.address(&grad).unwrap();
        assert!(!update.launch_backward(&machine, at, everything).unwrap(), "{name}: gradients of masks");
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn attentions() {
    use Orientation::{PerColumn, PerRow};
    for (sizes, heads, biased, orientation) in [
        ((9, 33, 24), (3, 8), true, PerRow),
        ((67, 5, 40), (2, 16), true, PerColumn),
        ((18, 5, 16), (1, 32), false, PerColumn),
        ((3, 17, 72), (2, 64), true, PerRow),
        ((2, 4, 8), (1, 8), true, PerRow),
    ] {
        let kernels =
            ["attention_delta", "attention_backward_queries", "attention_backward_keys", "sum_leaves"];
        let mut kernels = kernels.to_vec();
        kernels.extend(biased.then_some("attention_backward_bias"));
        let mut subsets: Vec<&[usize]> = vec![&[0], &[2, 8], &[4, 9], &[10]];
        subsets.extend(biased.then_some(&[11][..]));
        check(&cases::attention(sizes, heads, biased, orientation), &[1], &subsets, &kernels, BOUNDS);
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn global_attentions() {
    for (sizes, heads, d) in [((37, 5, 24), 3, 8), ((6, 18, 64), 2, 32), ((2, 1, 8), 1, 8)] {
        let kernels = ["global_attention_backward", "gate_output_backward", "layer_norm_project_backward"];
        let case = cases::global_attention(sizes, heads, d);
        check(&case, &[1], &[&[0], &[4], &[5, 3], &[7, 8], &[9]], &kernels, BOUNDS);
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn pair_biases() {
    for (n, c, heads, swapped) in [(17, 24, 3, false), (18, 136, 8, true), (1, 16, 4, false)] {
        let case = cases::pair_bias(n, c, heads, swapped);
        check(&case, &[], &[&[0], &[1], &[3]], &["layer_norm_project_backward"], BOUNDS);
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn transitions() {
    for (rows, c, w) in [([5, 7], 24, 72), ([33, 3], 128, 264), ([2, 9], 136, 40), ([1, 1], 8, 8)] {
        let case = cases::transition(rows, c, w, true);
        check(
            &case,
            &[],
            &[&[0], &[1, 3], &[2], &[4], &[5], &[6]],
            &["transition_backward", "products"],
            BOUNDS,
        );
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn triangle_multiplications() {
    for (r, cz, c) in [(17, 24, 40), (34, 40, 24), (2, 8, 16)] {
        for edges in [Edges::Outgoing, Edges::Incoming] {
            let case = cases::triangle_multiplication(r, cz, c, edges);
            let kernels = ["triangle_output_backward", "triangle_project_backward", "turn_to_channels"];
            check(&case, &[1], &[&[0], &[4, 7], &[12], &[14, 15], &[16]], &kernels, BOUNDS);
        }
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn outer_product_means() {
    for (sizes, e, cz) in [((7, 17, 24), 8, 40), ((33, 5, 40), 16, 136), ((1, 2, 8), 8, 8)] {
        let case = cases::outer_product_mean(sizes, e, cz, true);
        let kernels = ["outer_product_backward", "outer_product_turn", "column_sums"];
        check(&case, &[1], &[&[0], &[3, 4], &[5], &[8], &[9]], &kernels, BOUNDS);
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn linears() {
    for (rows, k, n) in [([5, 7], 22, 37), ([67, 3], 128, 14), ([1, 1], 1, 6), ([2, 9], 15, 66)] {
        for (biased, relu) in [(true, false), (false, false), (true, true), (false, true)] {
            let mut kernels = vec!["products"];
            kernels.extend(biased.then_some("column_sums_f32"));
            kernels.extend(relu.then_some("linear_relu_backward"));
            let mut subsets: Vec<&[usize]> = vec![&[0], &[1]];
            subsets.extend(biased.then_some(&[2][..]));
            check(&cases::linear(rows, k, n, biased, relu), &[], &subsets, &kernels, EXACT);
        }
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn layer_norms() {
    for (rows, c) in [([5, 7], 24), ([33, 3], 384), ([1, 1], 7), ([2, 9], 1024)] {
        let kernels = ["layer_norm_backward", "sum_leaves"];
        check(&cases::layer_norm(rows, c), &[], &[&[0], &[1], &[2, 0]], &kernels, EXACT);
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn frames() {
    for r in [1, 2, 17, 66, 130] {
        for still in [false, true] {
            check(&cases::frame_update(r, still), &[], &[&[0], &[1]], &["frame_update_backward"], EXACT);
        }
        check(&cases::rigid_groups(r), &[2], &[&[0], &[1]], &["rigid_groups_backward"], EXACT);
        check(&cases::unit_pairs(r), &[], &[&[0]], &["unit_pairs_backward"], EXACT);
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn point_attentions() {
    // Of one residue there is one weight, 1, and hardly a gradient: two at least.
    for case in cases::point_attentions(2) {
        let kernels =
            ["ipa_finish_backward", "ipa_backward_queries_f32", "ipa_backward_keys", "ipa_place_backward"];
        let subsets: [&[usize]; 8] = [&[0], &[1], &[3], &[4, 15], &[5, 8], &[11, 12], &[13, 14], &[16, 17]];
        check(&case, &[2], &subsets, &kernels, EXACT);
    }
}
