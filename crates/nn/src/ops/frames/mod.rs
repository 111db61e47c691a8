//! Rigid frames of residues: moved on by the structure module, and the rigid groups and atoms that hang on them. AF2 Suppl. Alg. 20, 23, 24.
//!
//! Frames of r residues are one tensor, its sections one after the other ([`FrameSections`]): unit quaternions `[r, 4]`, real part first, the
//! rotation matrices of these `[r, 3, 3]`, translations `[r, 3]`. So each section is a contiguous view, as the operations take it.

mod groups;
mod math;
mod reference;
#[cfg(test)]
mod tests;
mod unit;
mod update;

pub use groups::{GROUP_TABLE, GroupSections, rigid_groups};
pub use unit::unit_pairs;
pub use update::{frame_update, pack_frames};

use std::ops::Range;

/// Where the parts of packed frames lie. Sections begin at multiples of four values; what lies between them is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameSections {
    r: usize,
}

impl FrameSections {
    /// Of r residues.
    pub fn new(r: usize) -> Self {
        Self { r }
    }

    /// `[r, 4]`.
    pub fn quaternion(self) -> Range<usize> {
        0..4 * self.r
    }

    /// `[r, 3, 3]`.
    pub fn rotation(self) -> Range<usize> {
        4 * self.r..13 * self.r
    }

    /// `[r, 3]`.
    pub fn translation(self) -> Range<usize> {
        let start = 4 * self.r + (9 * self.r).next_multiple_of(4);
        start..start + 3 * self.r
    }

    /// All values.
    pub fn len(self) -> usize {
        self.translation().end
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.r == 0
    }
}
