//! Results of whole operations.

use super::SHARED;
use super::cases::{self, Case};
use super::machine::{Emulator, bytes, values};
use nn::cuda::{Machine, Precision};
use nn::ops::{Edges, Orientation};
use std::ffi::c_int;

/// Relative errors in f32 and in bf16, where inputs of every product, weights among them, are off by 2^-9 at most.
const BOUNDS: [f64; 2] = [2e-5, 1e-2];

/// The same of operations that are f32 in both.
const EXACT: [f64; 2] = [2e-6; 2];

/// On every machine: as a new tensor, and added to what is there (the first input, if it may be); every kernel's threads in
/// several orders. `kernels` are those that must have been launched, without their types.
fn check(case: &Case, kernels: &[&str], bounds: [f64; 2]) {
    let Case { name, update, onto, aliased, rows } = case;
    let reference = values(&update.reference().unwrap());
    assert_eq!(reference.len(), onto.elem_count(), "{name}");
    let compared: Vec<bool> = match rows {
        None => vec![true; reference.len()],
        Some(rows) => {
            let rows = values(rows);
            let wide = reference.len() / rows.len();
            rows.iter().flat_map(|&row| vec![row > 0.0; wide]).collect()
        }
    };
    for (precision, bound) in [Precision::F32, Precision::Bf16].into_iter().zip(bounds) {
        for (case, shared) in SHARED.into_iter().enumerate() {
            let adds = case == 1;
            let machine = Emulator::new(precision, shared);
            machine.schedule.set(case as c_int);
            let before = if adds { values(onto) } else { vec![f32::NAN; onto.elem_count()] };
            let out = machine.filled(&bytes(&before));
            let done = update.launch(&machine, out.address, adds, adds && *aliased).unwrap();
            assert!(done, "{name} {precision:?}: refused with {shared} bytes");
            let launched = machine.launched.borrow();
            for kernel in kernels {
                assert!(
                    launched.iter().any(|k| k.starts_with(kernel)),
                    "{name}: no {kernel} in {launched:?}"
                );
            }
            // SAFETY: f32 values that were all written, or are compared as what they are.
            let got = unsafe { std::slice::from_raw_parts(out.address as *const f32, before.len()) };
            let (mut difference, mut norm) = (0.0, 0.0);
            for (i, want) in reference.iter().enumerate().filter(|(i, _)| compared[*i]) {
                let added = if adds { before[i] } else { 0.0 };
                difference += (f64::from(got[i]) - f64::from(added) - f64::from(*want)).powi(2);
                norm += f64::from(*want).powi(2);
            }
            let error = (difference / norm).sqrt();
            println!("{name:<40} {precision:?} onto {adds:<5} error {error:.1e}");
            assert!(error < bound, "{name} {precision:?} adds {adds}: error {error:e}, bound {bound:e}");
        }
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn attentions() {
    use Orientation::{PerColumn, PerRow};
    for (sizes, heads, biased, orientation) in [
        ((17, 33, 24), (3, 8), true, PerRow),
        ((33, 18, 40), (2, 16), true, PerColumn),
        ((66, 5, 16), (1, 32), false, PerColumn),
        ((3, 67, 72), (2, 64), true, PerRow),
        ((1, 1, 8), (1, 8), true, PerRow),
    ] {
        let mut kernels = vec!["layer_norm_project", "attention_", "gate_output"];
        kernels.extend(biased.then_some("pad_rows"));
        check(&cases::attention(sizes, heads, biased, orientation), &kernels, BOUNDS);
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn global_attentions() {
    for (sizes, heads, d) in [((37, 5, 24), 3, 8), ((6, 18, 64), 2, 32), ((1, 1, 8), 1, 8)] {
        let kernels = ["layer_norm_project", "global_attention", "gate_output"];
        check(&cases::global_attention(sizes, heads, d), &kernels, BOUNDS);
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn pair_biases() {
    for (n, c, heads, swapped) in [(17, 24, 3, false), (18, 40, 8, true), (1, 16, 8, false)] {
        let Case { name, update, .. } = cases::pair_bias(n, c, heads, swapped);
        let reference = values(&update.reference().unwrap());
        for (precision, bound) in [Precision::F32, Precision::Bf16].into_iter().zip(BOUNDS) {
            let machine = Emulator::new(precision, SHARED[0]);
            let out = machine.memory(4 * reference.len()).unwrap();
            assert!(update.launch(&machine, out.address, false, false).unwrap());
            assert!(!update.launch(&machine, out.address, true, false).unwrap(), "there is no sum");
            // SAFETY: f32 values, all written.
            let got = unsafe { std::slice::from_raw_parts(out.address as *const f32, reference.len()) };
            let sum = |f: &dyn Fn(usize) -> f64| (0..reference.len()).map(|i| f(i).powi(2)).sum::<f64>();
            let difference = sum(&|i| f64::from(got[i]) - f64::from(reference[i]));
            let error = (difference / sum(&|i| f64::from(reference[i]))).sqrt();
            assert!(error < bound, "{name} {precision:?}: {error:e}");
        }
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn transitions() {
    for (rows, c, w) in [([5, 7], 24, 72), ([33, 3], 128, 512), ([2, 9], 136, 40), ([1, 1], 8, 8)] {
        check(&cases::transition(rows, c, w, false), &["transition_f32"], BOUNDS);
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn triangle_multiplications() {
    for (r, cz, c) in [(17, 24, 40), (34, 40, 24), (1, 8, 16)] {
        for edges in [Edges::Outgoing, Edges::Incoming] {
            let case = cases::triangle_multiplication(r, cz, c, edges);
            check(&case, &["triangle_project", "triangle_output"], BOUNDS);
        }
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn outer_product_means() {
    for (sizes, e, cz) in [((7, 17, 24), 8, 40), ((33, 5, 40), 16, 136), ((1, 1, 8), 8, 8)] {
        let case = cases::outer_product_mean(sizes, e, cz, false);
        check(&case, &["pair_counts", "outer_product_project"], BOUNDS);
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn linears() {
    for (rows, k, n) in [([5, 7], 22, 37), ([33, 3], 128, 14), ([1, 1], 1, 6), ([2, 9], 15, 64)] {
        for (biased, relu) in [(true, false), (false, false), (true, true), (false, true)] {
            let mut kernels = vec!["products"];
            kernels.extend((biased || relu).then_some("linear_finish"));
            check(&cases::linear(rows, k, n, biased, relu), &kernels, EXACT);
        }
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn layer_norms() {
    for (rows, c) in [([5, 7], 24), ([33, 3], 384), ([1, 1], 7), ([2, 9], 1100)] {
        check(&cases::layer_norm(rows, c), &["layer_norm"], EXACT);
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn expected_values() {
    for (rows, bins, k) in [([1, 1], 50, 1), ([17, 17], 64, 2), ([9, 5], 3, 3)] {
        check(&cases::expectations(rows, bins, k), &["expectations"], EXACT);
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn frames() {
    for r in [1, 2, 17, 66, 130] {
        check(&cases::frame_update(r, r == 2), &["frame_update"], EXACT);
        check(&cases::rigid_groups(r), &["rigid_groups"], EXACT);
        check(&cases::unit_pairs(r), &["unit_pairs"], EXACT);
    }
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn point_attentions() {
    for case in cases::point_attentions(1) {
        check(&case, &["ipa_place", "ipa_f32", "ipa_finish", "linear_finish"], EXACT);
    }
}

/// An operation's result, in the memory of its first input, and what was launched.
fn result(machine: &Emulator, case: &Case) -> (Vec<u8>, Vec<String>) {
    let out = machine.filled(&bytes(&values(&case.onto)));
    assert!(case.update.launch(machine, out.address, true, true).unwrap(), "{}", case.name);
    // SAFETY: f32 values that were all written.
    let got = unsafe { std::slice::from_raw_parts(out.address as *const u8, 4 * case.onto.elem_count()) };
    (got.to_vec(), machine.launched.take())
}

/// With little room operations go in parts, of which the last is smaller, and give the same bits.
#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn little_room_changes_nothing() {
    use Orientation::{PerColumn, PerRow};
    let attention = |o| cases::attention((37, 18, 24), (3, 8), true, o);
    let triangle = |edges| cases::triangle_multiplication(17, 24, 40, edges);
    for (case, room, kernel, parts) in [
        // 16, 16 and 5 of 37 rows; 5, 5, 5 and 3 of 18 columns: of 18·24 and 37·24 values, four times each.
        (attention(PerRow), 4 * 18 * 24 * 4 * 18, "attention_f32", 3),
        (attention(PerColumn), 4 * 37 * 24 * 4 * 5, "attention_f32", 4),
        // 8 and 32 of 40 channels of 17·24 values beside the sums, then none, which is 8.
        (triangle(Edges::Outgoing), 17 * 24 * 4 * (40 + 2 * 10), "triangle_project", 5),
        (triangle(Edges::Incoming), 17 * 24 * 4 * (40 + 2 * 35), "triangle_project", 2),
        (triangle(Edges::Incoming), 1, "triangle_project", 5),
    ] {
        let mut machine = Emulator::new(Precision::F32, SHARED[0]);
        let (all, _) = result(&machine, &case);
        machine.room = room;
        let (some, launched) = result(&machine, &case);
        assert_eq!(launched.iter().filter(|k| k.starts_with(kernel)).count(), parts, "{}", case.name);
        assert!(all == some, "{}: other bits with {room} bytes", case.name);
    }
}

/// Sizes that no kernel takes are refused before anything is launched.
#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn other_sizes_are_refused() {
    for (c, w) in [(12, 24), (264, 8), (16, 20)] {
        let Case { update, onto, .. } = cases::transition([2, 3], c, w, false);
        let machine = Emulator::new(Precision::Bf16, SHARED[1]);
        let out = machine.filled(&bytes(&values(&onto)));
        assert!(!update.launch(&machine, out.address, true, true).unwrap(), "c {c}");
        let gradients = vec![out.address; update.inputs().len()];
        assert!(!update.launch_backward(&machine, out.address, gradients).unwrap(), "c {c}");
        assert!(machine.launched.borrow().is_empty());
    }
}
