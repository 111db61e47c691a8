//! Against the references, with gradients; frames are rotations, and the chain of groups is used.

use super::super::gradcheck::check_backward;
use super::super::plain::testing::{check, noise};
use super::groups::RigidGroups;
use super::unit::UnitPairs;
use super::update::FrameUpdate;
use super::*;
use candle_core::{Device, Tensor};

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// Frames of unit quaternions.
fn frames(r: usize, seed: u64) -> Tensor {
    let mut quaternions = values(&noise(&[r, 4], seed));
    for q in quaternions.chunks_mut(4) {
        let length = q.iter().map(|v| v * v).sum::<f32>().sqrt();
        q.iter_mut().for_each(|v| *v /= length);
    }
    pack_frames(&quaternions, &values(&noise(&[r, 3], seed + 1)), &Device::Cpu).unwrap()
}

/// Groups of any matrices; every group has atoms, and some atoms are not there.
fn table(r: usize) -> Tensor {
    let mut table = values(&noise(&[r, GROUP_TABLE], 5));
    for row in table.chunks_mut(GROUP_TABLE) {
        for k in 0..14 {
            row[GroupSections::GROUP.start + k] = (k % 8) as f32;
            row[GroupSections::MASK.start + k] = f32::from(u8::from(k != 4));
        }
    }
    Tensor::from_vec(table, (r, GROUP_TABLE), &Device::Cpu).unwrap()
}

#[test]
fn updates() {
    let of = |r| [noise(&[r, 6], 3), frames(r, 1)];
    for still in [false, true] {
        check(&FrameUpdate { still }, &of(3), if still { &[0] } else { &[0, 1] });
        for r in [1, 2, 17, 300] {
            check_backward(&FrameUpdate { still }, &of(r), &[0, 1], Some(2e-6));
            check_backward(&FrameUpdate { still }, &of(r), &[1], Some(2e-6));
        }
    }
}

#[test]
fn updates_keep_rotations() {
    let r = 5;
    let packed = values(&frame_update(&noise(&[r, 6], 3), &frames(r, 1), false).tensor().unwrap());
    let sections = FrameSections::new(r);
    for (q, rotation) in packed[sections.quaternion()].chunks(4).zip(packed[sections.rotation()].chunks(9)) {
        assert!((q.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-6);
        for (i, j) in [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)] {
            let dot: f32 = (0..3).map(|k| rotation[3 * i + k] * rotation[3 * j + k]).sum();
            assert!((dot - f32::from(u8::from(i == j))).abs() < 1e-6);
        }
    }
    assert!(packed[sections.rotation().end..sections.translation().start].iter().all(|v| *v == 0.0));
}

#[test]
fn groups() {
    let of = |r| [noise(&[r, 7, 2], 3), frames(r, 1), table(r)];
    check(&RigidGroups { scale: 10.0 }, &of(2), &[0, 1]);
    for r in [1, 2, 17, 130] {
        check_backward(&RigidGroups { scale: 10.0 }, &of(r), &[0, 1], Some(2e-6));
        check_backward(&RigidGroups { scale: 0.5 }, &of(r), &[0], Some(2e-6));
    }
}

#[test]
fn pairs() {
    check(&UnitPairs, &[noise(&[3, 7, 2], 1)], &[0]);
    for (rows, scale) in [(1, 1.0), (33, 1e3), (17, 1e-4), (5, 1e-9)] {
        check_backward(&UnitPairs, &[(noise(&[rows, 2], 1) * scale).unwrap()], &[0], Some(2e-6));
    }
}

#[test]
fn other_shapes_are_refused() {
    let error = frame_update(&noise(&[3, 6], 1), &noise(&[40], 1), false).tensor().unwrap_err().to_string();
    assert!(error.contains("[49]") && error.contains("[40]"), "{error}");
    let error = rigid_groups(&noise(&[3, 7, 2], 1), &frames(3, 1), &noise(&[3, 6], 2), 1.0)
        .tensor()
        .unwrap_err()
        .to_string();
    assert!(error.contains("[3, 166]") && error.contains("[3, 6]"), "{error}");
    assert!(unit_pairs(&noise(&[3, 7], 1)).tensor().is_err());
}
