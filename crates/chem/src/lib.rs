//! Residue, atom, χ-angle, rigid-group and bond tables of proteins.
//!
//! Everything is a constant (or computed once from constants). Residue types are `u8` in the order of
//! [`residue::RESTYPES`], 20 = unknown, 21 = gap; atoms are the 37 names of [`atoms::ATOM_TYPES`] or the
//! 14 slots a residue type of [`atoms::ATOM14_NAMES`]. The numbers are those of AlphaFold's
//! `common/residue_constants.py` (DeepMind, Apache-2.0), because trained weights depend on them.

pub mod ambiguity;
pub mod atoms;
pub mod bonds;
pub mod chi;
pub mod modified;
pub mod residue;
pub mod rigid;
mod rigid_positions;
