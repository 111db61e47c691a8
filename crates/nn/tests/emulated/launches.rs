//! How many kernels and matrix products an Evoformer block takes, forward and going back: a number that grows is a regression, which
//! small sizes feel first.

use super::SHARED;
use super::cases::{self, Case, made};
use super::machine::Emulator;
use nn::cuda::{Machine, Precision};
use nn::ops::{Edges, Orientation};

/// Launches of an operation that updates its representation, and of all its gradients but those of masks.
fn launches(case: &Case, masks: &[usize]) -> [usize; 2] {
    let Case { name, update, onto, .. } = case;
    let machine = Emulator::new(Precision::Bf16, SHARED[1]);
    let out = machine.memory(4 * onto.elem_count()).unwrap();
    // A pair bias is a tensor of its own and has no sum.
    let adds = update.reference().unwrap().dims() == onto.dims();
    assert!(update.launch(&machine, out.address, adds, false).unwrap(), "{name}");
    let forward = machine.launched.take();
    let grad = machine.address(&made(3).get("grad.matrix", update.reference().unwrap().dims())).unwrap();
    let places: Vec<_> =
        update.inputs().iter().map(|t| machine.memory(4 * t.elem_count()).unwrap()).collect();
    let places =
        places.iter().enumerate().map(|(i, place)| if masks.contains(&i) { 0 } else { place.address });
    assert!(update.launch_backward(&machine, grad, places.collect()).unwrap(), "{name}");
    let backward = machine.launched.take();
    println!("{name}\n  {}\n  {}", forward.join(" "), backward.join(" "));
    [forward.len(), backward.len()]
}

#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn of_an_evoformer_block() {
    use Orientation::{PerColumn, PerRow};
    let (s, r, c_m, c_z) = (8, 9, 24, 16); // rows enough for sums in two steps
    let attention = |n0, c, biased, orientation| cases::attention((n0, r, c), (2, 8), biased, orientation);
    let triangle = |edges| cases::triangle_multiplication(r, c_z, 8, edges);
    let bias = |swapped| cases::pair_bias(r, c_z, 2, swapped);
    // The operation, its masks, launches forward and going back.
    let table: [(Case, &[usize], [usize; 2]); 12] = [
        (bias(false), &[], BIAS),
        (attention(s, c_m, true, PerRow), &[1], BIASED),
        (attention(s, c_m, false, PerColumn), &[1], [3, 15]),
        (cases::transition([s, r], c_m, 32, false), &[], TRANSITION),
        (cases::outer_product_mean((s, r, c_m), 8, c_z, true), &[1], [4, 15]),
        (triangle(Edges::Outgoing), &[1], TRIANGLE),
        (triangle(Edges::Incoming), &[1], TRIANGLE),
        (bias(false), &[], BIAS),
        (attention(r, c_z, true, PerRow), &[1], BIASED),
        (bias(true), &[], BIAS),
        (attention(r, c_z, true, PerColumn), &[1], BIASED),
        (cases::transition([r, r], c_z, 32, false), &[], TRANSITION),
    ];
    let got: Vec<_> = table.iter().map(|(case, masks, _)| launches(case, masks)).collect();
    let want: Vec<_> = table.iter().map(|(_, _, want)| *want).collect();
    assert_eq!(got, want);
    // What docs/cuda.md says.
    assert_eq!([0, 1].map(|way| got.iter().map(|got| got[way]).sum::<usize>()), [30, 147]);
}

const BIAS: [usize; 2] = [1, 3];
const BIASED: [usize; 2] = [4, 18];
const TRANSITION: [usize; 2] = [1, 7];
const TRIANGLE: [usize; 2] = [3, 20];

/// A layer of the structure module: point attention, its norm, three layers of the transition, two of them with ReLU,
/// frames moved on and torsions; and behind the last layer all atoms.
#[test]
#[ignore = "needs the emulator: tests/kernels/run.sh"]
fn of_a_structure_layer() {
    // Residues enough for sums in two steps.
    let points = launches(&cases::point_attention(66, (12, 8), 2, [8, 5, 2, 3], true), &[2]);
    let norm = launches(&cases::layer_norm([1, 66], 12), &[]);
    let relu = launches(&cases::linear([1, 66], 12, 12, true, true), &[]);
    let plain = launches(&cases::linear([1, 66], 12, 12, true, false), &[]);
    let frames = [cases::frame_update(66, true), cases::unit_pairs(66)].map(|case| launches(&case, &[]));
    assert_eq!([points, norm, relu, plain], [[7, 23], [1, 2], [2, 6], [2, 4]]);
    assert_eq!((frames, launches(&cases::rigid_groups(66), &[2])), ([[1, 1]; 2], [1, 1]));
}
