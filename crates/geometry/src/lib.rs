//! Rigid frames, torsion angles, superposition, and the scores that compare two structures.
//!
//! Pure functions of coordinates in Å; no tensors, no files. Scores are computed in f64; torsion features follow
//! AlphaFold's f32.

mod error;
pub mod gdt;
pub mod lddt;
pub mod pairing;
pub mod rigid;
pub mod score;
pub mod superpose;
pub mod tmalign;
pub mod tmscore;
pub mod torsion;

pub use error::Error;
